import { addF32 } from "../cpu/elementwise.ts";
import { defineOp } from "./define-op.ts";
import { sumTo } from "./sum.ts";

/** Elementwise sum with NumPy broadcasting. */
export const add = defineOp("add", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = a[i] + b[i];
  },
  pointwise: "a + b",
  fast: { simd: ({ a, b }, y) => addF32(a, b, y) },
  reads: {},
  vjp: ({ a, b }, dy) => ({ a: () => sumTo(dy, a.shape), b: () => sumTo(dy, b.shape) }),
});
