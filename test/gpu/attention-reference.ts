import type { AttentionDims } from "../../src/gpu/attention-kernel.ts";

/** The tensors of one attention, by name, as plain arrays. */
export interface AttentionInputs {
  readonly q: ArrayLike<number>;
  readonly k: ArrayLike<number>;
  readonly v: ArrayLike<number>;
  readonly mask: ArrayLike<number>;
  readonly dy: ArrayLike<number>;
}

/** What attention computes, forward and backward. */
export interface AttentionResults {
  readonly forward: Float64Array;
  readonly lse: Float64Array;
  readonly delta: Float64Array;
  readonly dq: Float64Array;
  readonly dk: Float64Array;
  readonly dv: Float64Array;
}

/** Attention and its gradient in f64, one query row after the other, the row's probabilities written out. */
export function referenceAttention(dims: AttentionDims, scale: number, inputs: AttentionInputs): AttentionResults {
  const { b, t, s, g, m, d } = dims;
  const queries = b * t * g * m;
  const keys = b * s * g;
  const results = {
    forward: new Float64Array(queries * d),
    lse: new Float64Array(queries),
    delta: new Float64Array(queries),
    dq: new Float64Array(queries * d),
    dk: new Float64Array(keys * d),
    dv: new Float64Array(keys * d),
  };
  for (let row = 0; row < queries; row++) attendRow(dims, scale, inputs, results, row);
  return results;
}

/** Rows of k and v that query row `row` (of b, t, h) attends to. */
export function keysOf({ t, s, g, m }: AttentionDims, mask: ArrayLike<number>, row: number): number[] {
  const head = Math.floor((row % (g * m)) / m);
  const time = Math.floor(row / (g * m)) % t;
  const batch = Math.floor(row / (g * m) / t);
  const rows: number[] = [];
  for (let j = 0; j < s && j <= s - t + time; j++) if (mask[batch * s + j] !== 0) rows.push((batch * s + j) * g + head);
  return rows;
}

function attendRow(dims: AttentionDims, scale: number, inputs: AttentionInputs, out: AttentionResults, row: number): void {
  const { d } = dims;
  const { q, k, v, dy } = inputs;
  const keys = keysOf(dims, inputs.mask, row);
  if (keys.length === 0) return;
  const scores = keys.map((key) => scale * dot(q, row, k, key, d));
  const top = Math.max(...scores);
  out.lse[row] = top + Math.log(scores.reduce((sum, score) => sum + Math.exp(score - top), 0));
  const weights = scores.map((score) => Math.exp(score - out.lse[row]));
  for (let i = 0; i < d; i++) {
    keys.forEach((key, c) => {
      out.forward[row * d + i] += weights[c] * v[key * d + i];
    });
  }
  out.delta[row] = dot(dy, row, out.forward, row, d);
  keys.forEach((key, c) => {
    const slope = weights[c] * (dot(dy, row, v, key, d) - out.delta[row]) * scale;
    for (let i = 0; i < d; i++) {
      out.dq[row * d + i] += slope * k[key * d + i];
      out.dk[key * d + i] += slope * q[row * d + i];
      out.dv[key * d + i] += weights[c] * dy[row * d + i];
    }
  });
}

function dot(x: ArrayLike<number>, rowX: number, y: ArrayLike<number>, rowY: number, d: number): number {
  let sum = 0;
  for (let i = 0; i < d; i++) sum += x[rowX * d + i] * y[rowY * d + i];
  return sum;
}
