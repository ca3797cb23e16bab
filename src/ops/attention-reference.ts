import type { AttentionShape } from "../cpu/attention.ts";
import type { TypedArray } from "../tensor/dtype.ts";

/** Where one query row finds its data. */
interface Row {
  /** Number of the row in [b, t, g·m]. */
  readonly at: number;
  /** How many keys lie at or before it. */
  readonly keys: number;
  /** Offset of the first key's elements, and from one key to the next. */
  readonly kv: number;
  readonly step: number;
  /** Offset of its sequence in the mask. */
  readonly mask: number;
}

/** The scale of the scores: `1 / √d` where none is given. */
export const scaleOf = (scale: number, d: number): number => scale || 1 / Math.sqrt(d);

/** Visit every query row with the scores of its keys; a key that it may not attend to scores -Infinity. */
export function eachScoredRow(
  { q, k, mask }: { readonly q: TypedArray; readonly k: TypedArray; readonly mask: TypedArray },
  sizes: AttentionShape,
  scale: number,
  visit: (row: Row, scores: Float64Array) => void,
): void {
  const { b, t, c, g, m, d } = sizes;
  for (let at = 0; at < b * t * g * m; at++) {
    const head = at % (g * m);
    const query = Math.floor(at / (g * m)) % t;
    const batch = Math.floor(at / (g * m * t));
    const row = {
      at,
      keys: c + query + 1,
      kv: (batch * (c + t) * g + Math.floor(head / m)) * d,
      step: g * d,
      mask: batch * (c + t),
    };
    const scores = new Float64Array(row.keys).fill(-Infinity);
    for (let j = 0; j < row.keys; j++) {
      if (mask[row.mask + j]) scores[j] = scaleOf(scale, d) * dot(q, at * d, k, row.kv + j * row.step, d);
    }
    visit(row, scores);
  }
}

/** Inner product of `d` elements of two arrays. */
export function dot(x: TypedArray, fromX: number, y: TypedArray, fromY: number, d: number): number {
  let total = 0;
  for (let i = 0; i < d; i++) total += x[fromX + i] * y[fromY + i];
  return total;
}

/** `y += factor · x` over `d` elements. */
export function addScaled(
  factor: number,
  x: TypedArray,
  fromX: number,
  y: TypedArray,
  fromY: number,
  d: number,
): void {
  for (let i = 0; i < d; i++) y[fromY + i] += factor * x[fromX + i];
}

/** `log Σ e^score`, or null where nothing is attended to. */
export function logSum(scores: Float64Array): number | null {
  if (scores.every((score) => score === -Infinity)) return null;
  const top = scores.reduce((a, b) => Math.max(a, b));
  return top + Math.log(scores.reduce((total, score) => total + Math.exp(score - top), 0));
}
