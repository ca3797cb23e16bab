import { siluF32 } from "../cpu/elementwise.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { add } from "./add.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";
import { sigmoid } from "./sigmoid.ts";
import { sub } from "./sub.ts";

/** Elementwise `x · sigmoid(x)`, also called swish (Elfwing et al. 2017). NaN at -Infinity, as in PyTorch. */
export const silu = defineOp("silu", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = x[i] / (1 + Math.exp(-x[i]));
  },
  pointwise: "x / (V(1.0) + exp(-x))",
  fast: { simd: ({ x }, y) => siluF32(x, y) },
  reads: { x: ["x"] },
  vjp: ({ x }, dy) => ({ x: (): Tensor => mul(dy, slope(x)) }),
});

/** `s + x·s·(1 - s)` with `s = sigmoid(x)`. */
function slope(x: Tensor): Tensor {
  const s = sigmoid(x);
  return mul(s, add(1, mul(x, sub(1, s))));
}
