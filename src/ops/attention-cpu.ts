import { fastExp } from "../cpu/fast-exp.ts";
import { gemm } from "../cpu/gemm.ts";
import type { AttentionSizes } from "./attention-reference.ts";
import { BLOCK, blockFor, copyQueries, type Scored, Scores, storeQueries, tiles } from "./attention-tiles.ts";

/** `attention` in f32: matrix products over blocks of query rows. */
export function attentionF32(inputs: Scored, y: Float32Array, sizes: AttentionSizes, scale: number): void {
  const { t, c, d } = sizes;
  const scores = new Scores(inputs, sizes, scale);
  const values = new Float32Array((c + t) * d);
  const result = new Float32Array(BLOCK * d);
  for (const tile of tiles(sizes, blockFor(inputs.v))) {
    if (tile.first) scores.copyOpen(inputs.v, values, tile);
    const weights = scores.of(tile);
    for (let r = 0; r < tile.rows; r++)
      softmaxRow(
        weights,
        r * tile.keys,
        tile.keys,
        scores.visible(tile, r),
        inputs.mask,
        tile.batch * (c + t),
      );
    const out = result.subarray(0, tile.rows * d);
    gemm("NN", tile.rows, d, tile.keys, weights, values.subarray(0, tile.keys * d), out);
    storeQueries(out, y, tile, sizes, 1);
  }
}

/** `attentionGradients` in f32: one pass over the scores for all three. */
export function attentionGradientsF32(
  inputs: Scored & { readonly dy: Float32Array },
  { dq, dk, dv }: { readonly dq: Float32Array; readonly dk: Float32Array; readonly dv: Float32Array },
  sizes: AttentionSizes,
  scale: number,
): void {
  const { t, c, d } = sizes;
  const { q, k, v, mask, dy } = inputs;
  const keyRows = (c + t) * d;
  const scores = new Scores(inputs, sizes, scale);
  const [values, keyGradients, valueGradients] = [
    new Float32Array(keyRows),
    new Float32Array(keyRows),
    new Float32Array(keyRows),
  ];
  const [queryBlock, cotangentBlock, pulledBlock] = [
    new Float32Array(BLOCK * d),
    new Float32Array(BLOCK * d),
    new Float32Array(BLOCK * (c + t)),
  ];
  for (const tile of tiles(sizes, blockFor(q, k, dy))) {
    const { rows, keys } = tile;
    if (tile.first) {
      scores.copyOpen(v, values, tile);
      keyGradients.fill(0);
      valueGradients.fill(0);
    }
    const weights = scores.of(tile);
    for (let r = 0; r < rows; r++)
      softmaxRow(weights, r * keys, keys, scores.visible(tile, r), mask, tile.batch * (c + t));
    copyQueries(dy, cotangentBlock, tile, sizes, 1);
    const cotangents = cotangentBlock.subarray(0, rows * d);
    const pulled = pulledBlock.subarray(0, rows * keys);
    gemm("TN", keys, d, rows, weights, cotangents, valueGradients.subarray(0, keys * d), {
      accumulate: true,
    });
    gemm("NT", rows, keys, d, cotangents, values.subarray(0, keys * d), pulled);
    for (let r = 0; r < rows; r++) softmaxCotangent(weights, pulled, r * keys, (r + 1) * keys);
    const queries = queryBlock.subarray(0, rows * d);
    gemm("NN", rows, d, keys, weights, scores.keys.subarray(0, keys * d), queries);
    storeQueries(queries, dq, tile, sizes, scale);
    // The copied queries carry the scale.
    gemm(
      "TN",
      keys,
      d,
      rows,
      weights,
      scores.queries.subarray(0, rows * d),
      keyGradients.subarray(0, keys * d),
      { accumulate: true },
    );
    if (tile.last) {
      scores.storeOpen(keyGradients, dk, tile);
      scores.storeOpen(valueGradients, dv, tile);
    }
  }
}

/**
 * Turn `limit` scores at `at` into weights that sum to 1, the rest of the `keys` into 0; zeros where no key
 * is open.
 */
function softmaxRow(
  scores: Float32Array,
  at: number,
  keys: number,
  limit: number,
  mask: ArrayLike<number>,
  maskAt: number,
): void {
  let top = -Infinity;
  let open = 0;
  for (let j = 0; j < limit; j++) {
    if (mask[maskAt + j] === 0) continue;
    open++;
    if (scores[at + j] > top) top = scores[at + j];
  }
  let total = 0;
  const end = open > 0 ? limit : 0;
  for (let j = 0; j < end; j++) {
    const weight = mask[maskAt + j] === 0 ? 0 : fastExp(scores[at + j] - top);
    scores[at + j] = weight;
    total += weight;
  }
  const factor = 1 / total;
  for (let j = 0; j < end; j++) scores[at + j] *= factor;
  scores.fill(0, at + end, at + keys);
}

/** Turn the weights of a row into `weight · (pulled - Σ weight · pulled)`. */
function softmaxCotangent(weights: Float32Array, pulled: Float32Array, start: number, end: number): void {
  let mean = 0;
  for (let i = start; i < end; i++) if (weights[i] !== 0) mean += weights[i] * pulled[i];
  for (let i = start; i < end; i++) if (weights[i] !== 0) weights[i] *= pulled[i] - mean;
}
