import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { f32Bits } from "./f32-bits.ts";
import { mul } from "./mul.ts";
import { sumTo } from "./sum.ts";

/** Exponential moving average of squares `beta·v + (1 - beta)·g²`: the second moment of Adam. */
export const emaSquare = defineOp("emaSquare", "v[*], g[*] -> y[*]", {
  attrs: { beta: [0.999, [0.5, 0.999]] },
  params: (_shapes, { beta }) => ({ rest: f32Bits(1 - beta) }),
  reference({ v, g }, y, _dims, { beta }) {
    const rest = 1 - beta;
    for (let i = 0; i < y.length; i++) y[i] = beta * v[i] + rest * g[i] * g[i];
  },
  pointwise: "dims.beta * v + bitcast<f32>(dims.rest) * g * g",
  reads: { g: ["g"] },
  vjp: ({ v, g }, dy, { beta }) => ({
    v: (): Tensor => sumTo(mul(dy, beta), v.shape),
    g: (): Tensor => sumTo(mul(dy, mul(g, 2 * (1 - beta))), g.shape),
  }),
});
