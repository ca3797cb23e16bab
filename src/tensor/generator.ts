/** State of the counter-based generator: enough to resume a stream. */
export interface GeneratorState {
  readonly seed: number;
  /** Number of draws (one a random op) since the seed was set. */
  readonly draws: number;
}

let state: GeneratorState = { seed: 0, draws: 0 };

/** Set the seed (an integer, taken modulo 2^32) of every later random op. */
export function manualSeed(seed: number): void {
  state = { seed: seed >>> 0, draws: 0 };
}

/** The generator's state now. */
export const getGeneratorState = (): GeneratorState => state;

/** Go back to a state. */
export function setGeneratorState(to: GeneratorState): void {
  state = to;
}

/** The key of the next random op: its seed and its own stream number. */
export function nextStream(): { readonly seed: number; readonly stream: number } {
  const key = { seed: state.seed, stream: state.draws };
  state = { seed: state.seed, draws: state.draws + 1 };
  return key;
}

/** High and low halves of a 32 x 32 bit product. */
function multiply(a: number, b: number): [high: number, low: number] {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const low = aLow * bLow;
  const middle = aHigh * bLow + (low >>> 16);
  const cross = aLow * bHigh + (middle & 0xffff);
  return [(aHigh * bHigh + Math.floor(middle / 65536) + (cross >>> 16)) >>> 0, Math.imul(a, b) >>> 0];
}

/**
 * Philox 4x32-10: four random words of a counter under a key (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 * Writes them into `out[0..3]`.
 */
export function philox(counter: readonly [number, number, number, number], key: readonly [number, number], out: Uint32Array): void {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [high0, low0] = multiply(0xd2511f53, c0);
    const [high1, low1] = multiply(0xcd9e8d57, c2);
    [c0, c1, c2, c3] = [(high1 ^ c1 ^ k0) >>> 0, low1, (high0 ^ c3 ^ k1) >>> 0, low0];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}
