import type { Gemm, GemmMode } from "./gemm-types.ts";

/** Every storage layout that a product must handle. */
export const GEMM_MODES: readonly GemmMode[] = ["NN", "NT", "TN"];

/** Half the distance from 1 to the next f32: the relative error of one rounding. */
const ROUNDING = 2 ** -24;
/** No multiple of any tile, and deeper than one packed panel. */
const RAGGED = { m: 5, n: 19, k: 301 };

/**
 * Compare a product with a scalar f64 one, for every mode, fresh and accumulating, on a small ragged case.
 * Returns a sentence about the first wrong element, or null where all are within `(k + 2) · 2⁻²⁴ · Σ|a·b|`.
 */
export function gemmFault(gemm: Gemm): string | null {
  const { m, n, k } = RAGGED;
  const a = samples(m * k, 1);
  const b = samples(k * n, 2);
  const before = samples(m * n, 3);
  for (const mode of GEMM_MODES) {
    for (const accumulate of [false, true]) {
      const out = before.slice();
      gemm(mode, m, n, k, a, b, out, accumulate);
      const fault = productFault(mode, RAGGED, a, b, out, accumulate ? before : undefined);
      if (fault) return `${mode}${accumulate ? " accumulating" : ""} ${m}x${n}x${k}: ${fault}`;
    }
  }
  return null;
}

/** The first element of `out = start + op(A) · op(B)` that is wrong, as a sentence; null where all are within that bound. */
export function productFault(
  mode: GemmMode, { m, n, k }: Readonly<Record<"m" | "n" | "k", number>>,
  a: Float32Array, b: Float32Array, out: Float32Array, start: Float32Array = new Float32Array(m * n),
): string | null {
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = start[i * n + j];
      let size = Math.abs(sum);
      for (let p = 0; p < k; p++) {
        const term = a[mode === "TN" ? p * m + i : i * k + p] * b[mode === "NT" ? j * k + p : p * n + j];
        sum += term;
        size += Math.abs(term);
      }
      const got = out[i * n + j];
      const right = Math.abs(got - sum) <= (k + 2) * ROUNDING * size;
      if (!right) return `element (${i}, ${j}) is ${got}, not ${sum}`;
    }
  }
  return null;
}

/** Fixed values in [-0.5, 0.5) that differ everywhere (the golden-ratio sequence). */
export function samples(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => (i * 0.6180339887498949 + seed * 0.37) % 1 - 0.5);
}
