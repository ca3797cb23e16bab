import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { sumTo } from "./sum.ts";

const attrs = { eps: [1e-4, [0.5, 1]], r: [1, [1, 8]] } as const;

/**
 * The factor that gives each of `r` rank-one terms b_i·a_iᵀ the size `strength / r`, from the lengths of its vectors:
 * `s = (strength / r) / (max(a, eps) · max(b, eps))`, elementwise (DeLoRA's diagonal; Bini et al. 2025, equation 8, with
 * PEFT's bound from below). The gradient passes to a length from `eps` on, `eps` included.
 */
export const rankOneScale = defineOp("rankOneScale", "a[*], b[*], strength[*] -> s[*]", {
  attrs,
  reference({ a, b, strength }, s, _dims, { eps, r }) {
    for (let i = 0; i < s.length; i++) s[i] = strength[i] / r / (Math.max(a[i], eps) * Math.max(b[i], eps));
  },
  pointwise:
    "nan_or(a, nan_or(b, strength / V(dims.r) / (max(a, V(dims.eps)) * max(b, V(dims.eps)))))",
  reads: { a: ["a", "output"], b: ["b", "output"], strength: ["a", "b"] },
  vjp: ({ a, b, strength }, ds, { eps, r }, s) => ({
    a: (): Tensor => sumTo(rankOneScaleDlength(a, s, ds, { eps }), a.shape),
    b: (): Tensor => sumTo(rankOneScaleDlength(b, s, ds, { eps }), b.shape),
    // It is linear in the strength.
    strength: (): Tensor => sumTo(rankOneScale(a, b, ds, { eps, r }), strength.shape),
  }),
  domain: { a: [0.1, 2], b: [0.1, 2] },
});

/** The cotangent of a length in `rankOneScale`: `-s · ds / length`, 0 where the length is below `eps`. */
export const rankOneScaleDlength = defineOp("rankOneScaleDlength", "length[*], s[*], ds[*] -> d[*]", {
  attrs: { eps: attrs.eps },
  reference({ length, s, ds }, d, _dims, { eps }) {
    for (let i = 0; i < d.length; i++) d[i] = length[i] >= eps ? (-s[i] * ds[i]) / length[i] : 0;
  },
  pointwise: "select(V(0.0), -s * ds / length, length >= V(dims.eps))",
  reads: { length: ["length", "output"], s: ["length", "ds"], ds: ["length", "s"] },
  vjp: ({ length, s, ds }, g, { eps }, d) => ({
    length: (): Tensor => sumTo(rankOneScaleDlength(length, d, g, { eps }), length.shape),
    s: (): Tensor => sumTo(rankOneScaleDlength(length, ds, g, { eps }), s.shape),
    ds: (): Tensor => sumTo(rankOneScaleDlength(length, s, g, { eps }), ds.shape),
  }),
  domain: { length: [0.1, 2] },
});
