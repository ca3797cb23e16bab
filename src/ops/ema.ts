import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { f32Bits } from "./f32-bits.ts";
import { mul } from "./mul.ts";
import { sumTo } from "./sum.ts";

/** Exponential moving average `beta·m + (1 - beta)·g`: the first moment of Adam. */
export const ema = defineOp("ema", "m[*], g[*] -> y[*]", {
  attrs: { beta: [0.9, [0.5, 0.999]] },
  params: (_shapes, { beta }) => ({ rest: f32Bits(1 - beta) }),
  reference({ m, g }, y, _dims, { beta }) {
    const rest = 1 - beta;
    for (let i = 0; i < y.length; i++) y[i] = beta * m[i] + rest * g[i];
  },
  pointwise: "dims.beta * m + bitcast<f32>(dims.rest) * g",
  reads: {},
  vjp: ({ m, g }, dy, { beta }) => ({
    m: (): Tensor => sumTo(mul(dy, beta), m.shape),
    g: (): Tensor => sumTo(mul(dy, 1 - beta), g.shape),
  }),
});
