import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { sumTo } from "./sum.ts";

/** Elementwise quotient with NumPy broadcasting; `x / 0` is an infinity, `0 / 0` is NaN. */
export const div = defineOp("div", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = a[i] / b[i];
  },
  pointwise: "a / b",
  reads: { a: ["b"], b: ["b", "output"] },
  vjp: ({ a, b }, dy, _attrs, y) => ({
    a: (): Tensor => sumTo(div(dy, b), a.shape),
    b: (): Tensor => sumTo(neg(mul(dy, div(y, b))), b.shape),
  }),
  domain: { b: [0.5, 2] },
});
