import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { equal } from "./equal.ts";
import { greater } from "./greater.ts";
import { mul } from "./mul.ts";
import { sumTo } from "./sum.ts";
import { where } from "./where.ts";

/**
 * Elementwise smaller of two with NumPy broadcasting; NaN wins. A tie gives each side half of the gradient.
 */
export const minimum = defineOp("minimum", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.min(a[i], b[i]);
  },
  pointwise: "nan_or(a, nan_or(b, min(a, b)))",
  reads: { a: ["a", "b"], b: ["a", "b"] },
  vjp({ a, b }, dy) {
    const share = (): Tensor => where(equal(a, b), mul(dy, 0.5), dy);
    return {
      a: (): Tensor => sumTo(where(greater(a, b), 0, share()), a.shape),
      b: (): Tensor => sumTo(where(greater(b, a), 0, share()), b.shape),
    };
  },
});
