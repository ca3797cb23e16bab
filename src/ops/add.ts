import { defineOp } from "./define-op.ts";
import { sumTo } from "./sum.ts";

/** Elementwise sum with NumPy broadcasting. */
export const add = defineOp("add", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = a[i] + b[i];
  },
  pointwise: "a + b",
  vjp: ({ a, b }, dy) => ({ a: () => sumTo(dy, a.shape), b: () => sumTo(dy, b.shape) }),
});
