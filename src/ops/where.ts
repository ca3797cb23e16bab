import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { sumTo } from "./sum.ts";

/**
 * `a` where the bool `condition` holds, else `b`, elementwise with NumPy broadcasting; `a` and `b` are of one
 * dtype.
 */
export const where = defineOp("where", "condition[*]:bool, a[*]:any, b[*]:any -> y[*]:any", {
  reference({ condition, a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = condition[i] ? a[i] : b[i];
  },
  pointwise: "select(b, a, condition != I(0))",
  reads: { a: ["condition"], b: ["condition"] },
  vjp: ({ condition, a, b }, dy) => ({
    a: (): Tensor => sumTo(where(condition, dy, 0), a.shape),
    b: (): Tensor => sumTo(where(condition, 0, dy), b.shape),
  }),
});
