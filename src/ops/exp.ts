import { expF32 } from "../cpu/elementwise.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";

/** Elementwise natural exponential. */
export const exp = defineOp("exp", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.exp(x[i]);
  },
  pointwise: "nan_or(x, exp(x))",
  fast: { simd: ({ x }, y) => expF32(x, y) },
  reads: { x: ["output"] },
  vjp: (_inputs, dy, _attrs, y) => ({ x: (): Tensor => mul(dy, y) }),
});
