import { sigmoidF32 } from "../cpu/elementwise.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";
import { sub } from "./sub.ts";

/** Elementwise logistic function `1 / (1 + exp(-x))`. */
export const sigmoid = defineOp("sigmoid", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = 1 / (1 + Math.exp(-x[i]));
  },
  pointwise: "nan_or(x, V(1.0) / (V(1.0) + exp(-x)))",
  fast: { simd: ({ x }, y) => sigmoidF32(x, y) },
  reads: { x: ["output"] },
  vjp: (_inputs, dy, _attrs, y) => ({ x: (): Tensor => mul(dy, mul(y, sub(1, y))) }),
});
