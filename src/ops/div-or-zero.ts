import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { sumTo } from "./sum.ts";

/** Elementwise quotient that is 0 where the divisor is 0: what a vector divided by its length is at the zero vector. */
export const divOrZero = defineOp("divOrZero", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = b[i] === 0 ? 0 : a[i] / b[i];
  },
  pointwise: "select(a / b, V(0.0), b == V(0.0))",
  reads: { a: ["b"], b: ["b", "output"] },
  vjp: ({ a, b }, dy, _attrs, y) => ({
    a: (): Tensor => sumTo(divOrZero(dy, b), a.shape),
    b: (): Tensor => sumTo(neg(mul(dy, divOrZero(y, b))), b.shape),
  }),
  domain: { b: [0.5, 2] },
});
