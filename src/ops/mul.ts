import { multiplyF32 } from "../cpu/elementwise.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { sumTo } from "./sum.ts";

/** Elementwise product with NumPy broadcasting. */
export const mul = defineOp("mul", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = a[i] * b[i];
  },
  pointwise: "a * b",
  fast: { simd: ({ a, b }, y) => multiplyF32(a, b, y) },
  reads: { a: ["b"], b: ["a"] },
  vjp: ({ a, b }, dy) => ({
    a: (): Tensor => sumTo(mul(dy, b), a.shape),
    b: (): Tensor => sumTo(mul(dy, a), b.shape),
  }),
});
