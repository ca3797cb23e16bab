import { type RankOneKernel, rankOnePlan } from "../gpu/rank-one-kernel.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import type { Draw, DrawnCall } from "../tensor/op-spec.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { add } from "./add.ts";
import { defineOp } from "./define-op.ts";
import { divOrZero } from "./div-or-zero.ts";
import { mul } from "./mul.ts";
import { norm } from "./norm.ts";
import { rankOneScale, rankOneScaleDlength } from "./rank-one-scale.ts";
import { reshape } from "./reshape.ts";
import { sum } from "./sum.ts";

const attrs = { eps: [1e-4, [0.5, 1]] } as const;

/** Of the k-th term: what its lengths are, and are at least. */
function lengthsOf({ a, b }: Readonly<Record<"a" | "b", TypedArray>>, k: number, { r, d, o }: Readonly<Record<"r" | "d" | "o", number>>, eps: number) {
  let [squaresA, squaresB] = [0, 0];
  for (let i = 0; i < d; i++) squaresA += a[k * d + i] * a[k * d + i];
  for (let i = 0; i < o; i++) squaresB += b[i * r + k] * b[i * r + k];
  const [longA, longB] = [Math.sqrt(squaresA), Math.sqrt(squaresB)];
  return { longA, longB, size: Math.max(longA, eps) * Math.max(longB, eps) };
}

/** `Σ dup · b` of the k-th term. */
function crossOf({ b, dup }: Readonly<Record<"b" | "dup", TypedArray>>, k: number, { r, o }: Readonly<Record<"r" | "o", number>>): number {
  let total = 0;
  for (let i = 0; i < o; i++) total += dup[i * r + k] * b[i * r + k];
  return total;
}

// The same for the readable kernels.
const helpers = /* wgsl */ `
fn squares_a(k: u32) -> f32 { var t = 0.0; for (var i = 0u; i < dims.d; i++) { t += a[k * dims.d + i] * a[k * dims.d + i]; } return t; }
fn squares_b(k: u32) -> f32 { var t = 0.0; for (var i = 0u; i < dims.o; i++) { t += b[i * dims.r + k] * b[i * dims.r + k]; } return t; }
fn at_least(v: f32) -> f32 { return select(max(v, dims.eps), v, (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u); }
fn size_of(k: u32) -> f32 { return at_least(sqrt(squares_a(k))) * at_least(sqrt(squares_b(k))); }`;
const crossHelpers = /* wgsl */ `${helpers}
fn cross_of(k: u32) -> f32 { var t = 0.0; for (var i = 0u; i < dims.o; i++) { t += dup[i * dims.r + k] * b[i * dims.r + k]; } return t; }`;

const oneStrength = ({ one }: { readonly one: number }): string | null => (one === 1 ? null : `strength must be one number, got ${one}`);

const drawOf = (withCotangent: boolean, withStrength = true) => (draw: Draw): DrawnCall => {
  const [r] = draw.shape(1, 1).map((size) => Math.max(1, Math.min(size, 5)));
  const [d, o] = draw.shape(2, 2).map((size) => Math.max(1, size));
  return { shapes: { a: [r, d], b: [o, r], ...(withStrength ? { strength: [1] } : {}), ...(withCotangent ? { dup: [o, r] } : {}) }, attrs: {} };
};

const kernel = (label: string, gives: RankOneKernel["gives"], result: string, readsCotangent = true): RankOneKernel => ({ label, gives, result, readsCotangent });

const UP = kernel("deloraUp", "column", "b * (strength / f32(p.r) / (size_a * size_b))", false);
const DA = kernel("deloraUpDa", "row", "-select(0.0, strength / f32(p.r) / (size_a * size_b) * cross / long_a / long_a, long_a >= p.eps) * a");
const DB = kernel(
  "deloraUpDb",
  "column",
  "strength / f32(p.r) / (size_a * size_b) * (dup - select(0.0, cross / long_b / long_b, long_b >= p.eps) * b)",
);
const DSTRENGTH = kernel("deloraUpDstrength", "total", "cross / f32(p.r) / (size_a * size_b)");

/**
 * B·diag(s) with `s_k = (strength / r) / (max(‖a_k‖, eps) · max(‖b_k‖, eps))` over the rows a_k of `a` and the columns b_k of
 * `b`: each rank-one term b_k·a_kᵀ gets the size `strength / r` (DeLoRA's diagonal; Bini et al. 2025, equation 8, with PEFT's bound
 * from below). The gradient passes to a length from `eps` on, `eps` included.
 */
export const deloraUp = defineOp("deloraUp", "a[r, d], b[o, r], strength[one] -> up[o, r]", {
  attrs,
  check: oneStrength,
  reference({ a, b, strength }, up, dims, { eps }) {
    for (let k = 0; k < dims.r; k++) {
      const s = strength[0] / dims.r / lengthsOf({ a, b }, k, dims, eps).size;
      for (let i = 0; i < dims.o; i++) up[i * dims.r + k] = b[i * dims.r + k] * s;
    }
  },
  helpers,
  wgsl: "up[i] = b[i] * (strength[0] / f32(dims.r) / size_of(i % dims.r));",
  fast: { wgsl: (profile, dims, { eps }) => rankOnePlan(profile, UP, dims, eps) },
  decompose: ({ a, b, strength }, { eps }) => mul(b, scaleOf(a, b, strength, eps)),
  reads: { a: ["a", "b", "strength"], b: ["a", "b", "strength"], strength: ["a", "b"] },
  vjp: ({ a, b, strength }, dup, own) => ({
    a: (): Tensor => deloraUpDa(a, b, strength, dup, own),
    b: (): Tensor => deloraUpDb(a, b, strength, dup, own),
    strength: (): Tensor => deloraUpDstrength(a, b, dup, own),
  }),
  draw: drawOf(false),
  domain: { a: [0.1, 2], b: [0.1, 2] },
});

/** The cotangent of `deloraUp`'s a: `-s_k · (Σ dup·b_k) · a_k / ‖a_k‖²`, 0 where the length is below `eps`. */
export const deloraUpDa = defineOp("deloraUpDa", "a[r, d], b[o, r], strength[one], dup[o, r] -> da[r, d]", {
  attrs,
  check: oneStrength,
  reference({ a, b, strength, dup }, da, dims, { eps }) {
    for (let k = 0; k < dims.r; k++) {
      const { longA, size } = lengthsOf({ a, b }, k, dims, eps);
      const pull = longA >= eps ? ((strength[0] / dims.r / size) * crossOf({ b, dup }, k, dims)) / longA / longA : 0;
      for (let i = 0; i < dims.d; i++) da[k * dims.d + i] = -pull * a[k * dims.d + i];
    }
  },
  helpers: crossHelpers,
  wgsl: /* wgsl */ `let k = i / dims.d; let squares = squares_a(k);
    da[i] = -select(0.0, strength[0] / f32(dims.r) / size_of(k) * cross_of(k) / squares, sqrt(squares) >= dims.eps) * a[i];`,
  fast: { wgsl: (profile, dims, { eps }) => rankOnePlan(profile, DA, dims, eps) },
  decompose({ a, b, strength, dup }, { eps }) {
    const long = norm(a, { axes: 1 });
    const cross = sum(mul(dup, b), { axes: 0 });
    const pull = divOrZero(rankOneScaleDlength(long, scaleOf(a, b, strength, eps), cross, { eps }), long);
    return mul(a, reshape(pull, { shape: [a.shape[0], 1] }));
  },
  draw: drawOf(true),
  domain: { a: [0.1, 2], b: [0.1, 2] },
});

/** The cotangent of `deloraUp`'s b: `s_k · (dup - (Σ dup·b_k) · b_k / ‖b_k‖²)`, `s_k · dup` where the length is below `eps`. */
export const deloraUpDb = defineOp("deloraUpDb", "a[r, d], b[o, r], strength[one], dup[o, r] -> db[o, r]", {
  attrs,
  check: oneStrength,
  reference({ a, b, strength, dup }, db, dims, { eps }) {
    for (let k = 0; k < dims.r; k++) {
      const { longB, size } = lengthsOf({ a, b }, k, dims, eps);
      const s = strength[0] / dims.r / size;
      const pull = longB >= eps ? crossOf({ b, dup }, k, dims) / longB / longB : 0;
      for (let i = k; i < dims.o * dims.r; i += dims.r) db[i] = s * (dup[i] - pull * b[i]);
    }
  },
  helpers: crossHelpers,
  wgsl: /* wgsl */ `let k = i % dims.r; let squares = squares_b(k);
    let pull = select(0.0, cross_of(k) / squares, sqrt(squares) >= dims.eps);
    db[i] = strength[0] / f32(dims.r) / size_of(k) * (dup[i] - pull * b[i]);`,
  fast: { wgsl: (profile, dims, { eps }) => rankOnePlan(profile, DB, dims, eps) },
  decompose({ a, b, strength, dup }, { eps }) {
    const s = scaleOf(a, b, strength, eps);
    const long = norm(b, { axes: 0 });
    const cross = sum(mul(dup, b), { axes: 0 });
    return add(mul(dup, s), mul(b, divOrZero(rankOneScaleDlength(long, s, cross, { eps }), long)));
  },
  draw: drawOf(true),
  domain: { a: [0.1, 2], b: [0.1, 2] },
});

/** The cotangent of `deloraUp`'s strength: `Σ_k (Σ dup·b_k) · s_k / strength`. */
export const deloraUpDstrength = defineOp("deloraUpDstrength", "a[r, d], b[o, r], dup[o, r] -> d[...]", {
  attrs,
  shape: () => [1],
  reference({ a, b, dup }, d, dims, { eps }) {
    for (let k = 0; k < dims.r; k++) d[0] += crossOf({ b, dup }, k, dims) / dims.r / lengthsOf({ a, b }, k, dims, eps).size;
  },
  helpers: crossHelpers,
  wgsl: /* wgsl */ `var total = 0.0;
    for (var k = 0u; k < dims.r; k++) { total += cross_of(k) / f32(dims.r) / size_of(k); }
    d[i] = total;`,
  fast: { wgsl: (profile, dims, { eps }) => rankOnePlan(profile, DSTRENGTH, dims, eps) },
  decompose: ({ a, b, dup }, { eps }) => reshape(sum(mul(sum(mul(dup, b), { axes: 0 }), scaleOf(a, b, null, eps))), { shape: [1] }),
  draw: drawOf(true, false),
  domain: { a: [0.1, 2], b: [0.1, 2] },
});

/** The diagonal s, for a strength of 1 if there is none. */
const scaleOf = (a: Tensor, b: Tensor, strength: Tensor | null, eps: number): Tensor =>
  rankOneScale(norm(a, { axes: 1 }), norm(b, { axes: 0 }), strength ?? 1, { eps, r: a.shape[0] });
