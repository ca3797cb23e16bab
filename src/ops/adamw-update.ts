import { add } from "./add.ts";
import { defineOp } from "./define-op.ts";
import { div } from "./div.ts";
import { f32Bits } from "./f32-bits.ts";
import { mul } from "./mul.ts";
import { sqrt } from "./sqrt.ts";
import { sub } from "./sub.ts";

/**
 * One AdamW step (Loshchilov & Hutter 2019) from parameter `p` and moments `m`, `v`: `p·(1 - lr·decay) - lr ·
 * (m / correction1) / (√(v / correction2) + eps)`, with the corrections `1 - betaᵗ`, as PyTorch computes it.
 */
export const adamwUpdate = defineOp("adamwUpdate", "p[*], m[*], v[*] -> y[*]", {
  attrs: {
    lr: [1e-3, [1e-3, 0.5]],
    eps: [1e-8, [1e-8, 0.1]],
    decay: [0, [0, 0.5]],
    correction1: [1, [0.1, 1]],
    correction2: [1, [0.1, 1]],
  },
  params: (_shapes, { lr, decay, correction1, correction2 }) => ({
    keep: f32Bits(1 - lr * decay),
    step: f32Bits(lr / correction1),
    root: f32Bits(Math.sqrt(correction2)),
  }),
  reference({ p, m, v }, y, _dims, { lr, eps, decay, correction1, correction2 }) {
    const keep = 1 - lr * decay;
    for (let i = 0; i < y.length; i++) {
      y[i] = keep * p[i] - (lr * (m[i] / correction1)) / (Math.sqrt(v[i] / correction2) + eps);
    }
  },
  pointwise: `bitcast<f32>(dims.keep) * p
    - bitcast<f32>(dims.step) * m / (sqrt(v) / bitcast<f32>(dims.root) + V(dims.eps))`,
  decompose({ p, m, v }, { lr, eps, decay, correction1, correction2 }) {
    const size = add(sqrt(div(v, correction2)), eps);
    return sub(mul(p, 1 - lr * decay), mul(div(div(m, correction1), size), lr));
  },
  domain: { v: [0.1, 2] },
});
