import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";
import { sub } from "./sub.ts";
import { TANH } from "./wgsl-math.ts";

/** Elementwise hyperbolic tangent. */
export const tanh = defineOp("tanh", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.tanh(x[i]);
  },
  helpers: TANH,
  pointwise: "tanh_of(x)",
  reads: { x: ["output"] },
  vjp: (_inputs, dy, _attrs, y) => ({ x: (): Tensor => mul(dy, sub(1, mul(y, y))) }),
});
