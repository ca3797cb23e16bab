import { PolargradError } from "../tensor/errors.ts";

/** How the next token is chosen from the scores. Processors run in the order temperature, top-k, top-p. */
export interface SamplingSettings {
  /** Scores are divided by it; above 0. */
  readonly temperature: number;
  /** Only the k best scores (and ties of the last of them) stay; 0 keeps all. */
  readonly topK: number;
  /** Only the most likely tokens stay that together just reach this probability; 1 keeps all. */
  readonly topP: number;
}

/** Index of the largest score, the first of several. @throws PolargradError when a score is NaN or +∞ */
export function argmaxOf(scores: ArrayLike<number>): number {
  let best = 0;
  for (let i = 0; i < scores.length; i++) {
    if (Number.isNaN(scores[i]) || scores[i] === Number.POSITIVE_INFINITY) throw overflow(i, scores[i]);
    if (scores[i] > scores[best]) best = i;
  }
  return best;
}

/**
 * Draw an index with the probabilities softmax(processed scores).
 *
 * @param u a uniform random number in [0, 1)
 * @throws PolargradError when a score is NaN or +∞
 */
export function sampleFrom(scores: ArrayLike<number>, settings: SamplingSettings, u: number): number {
  const { ids, weights } = distribution(scores, settings);
  let rest = u * weights.reduce((sum, weight) => sum + weight, 0);
  for (let i = 0; i < ids.length; i++) {
    rest -= weights[i];
    if (rest < 0) return ids[i];
  }
  // Rounding can leave a rest; the last token that has a weight takes it.
  return ids[weights.findLastIndex((weight) => weight > 0)];
}

/** The ids that are left after processing, ascending, with weights proportional to their probabilities. */
export function distribution(
  scores: ArrayLike<number>,
  { temperature, topK, topP }: SamplingSettings,
): { readonly ids: number[]; readonly weights: number[] } {
  const best = scores[argmaxOf(scores)];
  const scaled = Float64Array.from(scores, (score) => (score - best) / temperature);
  const threshold =
    topK > 0 && topK < scaled.length ? scaled.toSorted()[scaled.length - topK] : Number.NEGATIVE_INFINITY;
  let ids = Array.from(scaled.keys()).filter((id) => scaled[id] >= threshold);
  if (topP < 1) ids = nucleus(ids, scaled, topP);
  return { ids, weights: ids.map((id) => Math.exp(scaled[id])) };
}

/** The most likely ids whose predecessors have less than `topP` of the probability; at least one. */
function nucleus(ids: readonly number[], scaled: Float64Array, topP: number): number[] {
  const total = ids.reduce((sum, id) => sum + Math.exp(scaled[id]), 0);
  const kept: number[] = [];
  let before = 0;
  for (const id of ids.toSorted((a, b) => scaled[b] - scaled[a] || a - b)) {
    if (kept.length > 0 && before >= topP * total) break;
    kept.push(id);
    before += Math.exp(scaled[id]);
  }
  return kept.sort((a, b) => a - b);
}

const overflow = (id: number, score: number): PolargradError =>
  new PolargradError(
    `generate: the score of token ${id} is ${score}; the weights are broken or the activations overflowed`,
  );
