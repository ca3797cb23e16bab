import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { exp } from "./exp.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { square } from "./square.ts";
import { ERF } from "./wgsl-math.ts";

const TWO_OVER_ROOT_PI = 2 / Math.sqrt(Math.PI);
/** Levels of the continued fraction: enough for 16 digits of erf from 2.5 on. */
const LEVELS = 40;

/**
 * erf(x) in double precision. Up to 2.5 the series `2/√π · exp(-x²) · Σ 2ⁿ x²ⁿ⁺¹ / (2n+1)!!`, whose terms are
 * all positive; above, 1 minus the continued fraction of erfc (Abramowitz & Stegun 7.1.6, 7.1.14).
 */
export function erfOf(x: number): number {
  const m = Math.abs(x);
  if (m <= 2.5) {
    let term = x;
    let total = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total); n++) {
      term *= (2 * m * m) / (2 * n + 1);
      total += term;
    }
    return TWO_OVER_ROOT_PI * Math.exp(-m * m) * total;
  }
  if (m > 6) return Math.sign(x);
  if (Number.isNaN(x)) return x;
  let tail = m;
  for (let k = LEVELS; k > 0; k--) tail = m + k / 2 / tail;
  return Math.sign(x) * (1 - (Math.exp(-m * m) * TWO_OVER_ROOT_PI) / 2 / tail);
}

/** Elementwise Gauss error function. */
export const erf = defineOp("erf", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = erfOf(x[i]);
  },
  helpers: ERF,
  pointwise: "erf_of(x)",
  reads: { x: ["x"] },
  vjp: ({ x }, dy) => ({ x: (): Tensor => mul(dy, mul(exp(neg(square(x))), TWO_OVER_ROOT_PI)) }),
});
