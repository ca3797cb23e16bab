import { PolargradError } from "../tensor/errors.ts";

const DEFAULT_SEED = 20_117;

/**
 * The seed of everything that is drawn: `given`, else the environment's POLARGRAD_SEED (an integer), else a constant, so
 * that a run repeats.
 *
 * @throws PolargradError when POLARGRAD_SEED is no integer
 */
export function testSeed(given?: number): number {
  const text = typeof process === "undefined" ? undefined : process.env.POLARGRAD_SEED;
  if (given !== undefined || text === undefined || text === "") return given ?? DEFAULT_SEED;
  const seed = Number(text);
  if (!Number.isInteger(seed)) throw new PolargradError(`POLARGRAD_SEED must be an integer, got "${text}"`);
  return seed | 0;
}

/** Uniform numbers in [0, 1) from a 32-bit seed (mulberry32); for test data, not for the library's random ops. */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `length` numbers in [low, high), each exactly an f32, so that f32 and f64 runs start from the same point. */
export function randomValues(seed: number, length: number, low = -1, high = 1): Float64Array {
  const next = uniform(seed);
  return Float64Array.from({ length }, () => Math.fround(low + (high - low) * next()));
}

/** Another seed for each `label`, so that the calls of different ops and kinds are not alike. */
export function seedFor(seed: number, label: string): number {
  let hash = seed ^ 0x811c9dc5;
  for (const letter of label) hash = Math.imul(hash ^ (letter.codePointAt(0) ?? 0), 0x01000193);
  return hash | 0;
}
