import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { SINE } from "./wgsl-math.ts";

/** Elementwise sine of radians. On WebGPU up to 8192 radians; less exact beyond. */
export const sin = defineOp("sin", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.sin(x[i]);
  },
  helpers: SINE,
  pointwise: "sine_of(x, 0)",
  reads: { x: ["x"] },
  vjp: ({ x }, dy) => ({ x: (): Tensor => mul(dy, cos(x)) }),
});

/** Elementwise cosine of radians. On WebGPU up to 8192 radians; less exact beyond. */
export const cos = defineOp("cos", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.cos(x[i]);
  },
  helpers: SINE,
  pointwise: "sine_of(x, 1)",
  reads: { x: ["x"] },
  vjp: ({ x }, dy) => ({ x: (): Tensor => neg(mul(dy, sin(x))) }),
});
