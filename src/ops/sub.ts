import { subtractF32 } from "../cpu/elementwise.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { neg } from "./neg.ts";
import { sumTo } from "./sum.ts";

/** Elementwise difference with NumPy broadcasting. */
export const sub = defineOp("sub", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = a[i] - b[i];
  },
  pointwise: "a - b",
  fast: { simd: ({ a, b }, y) => subtractF32(a, b, y) },
  reads: {},
  vjp: ({ a, b }, dy) => ({ a: (): Tensor => sumTo(dy, a.shape), b: (): Tensor => neg(sumTo(dy, b.shape)) }),
});
