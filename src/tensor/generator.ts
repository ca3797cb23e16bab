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

// Philox's multipliers and key steps; as signed integers, which V8 multiplies without a detour through doubles.
const M0 = 0xd2511f53 | 0;
const M1 = 0xcd9e8d57 | 0;
const W0 = 0x9e3779b9 | 0;
const W1 = 0xbb67ae85 | 0;

/** High word of a 32 x 32 bit product. */
function highProduct(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = (Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16)) | 0;
  const cross = (Math.imul(aLow, bHigh) + (middle & 0xffff)) | 0;
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (cross >>> 16)) | 0;
}

/**
 * Philox 4x32-10: four random words of a counter under a key (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 * Writes them into `out[0..3]`.
 */
export function philox(counter: ArrayLike<number>, key: ArrayLike<number>, out: Uint32Array): void {
  let c0 = counter[0] | 0;
  let c1 = counter[1] | 0;
  let c2 = counter[2] | 0;
  let c3 = counter[3] | 0;
  let k0 = key[0] | 0;
  let k1 = key[1] | 0;
  for (let round = 0; round < 10; round++) {
    const high0 = highProduct(M0, c0);
    const high1 = highProduct(M1, c2);
    const low0 = Math.imul(M0, c0);
    c0 = high1 ^ c1 ^ k0;
    c1 = Math.imul(M1, c2);
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + W0) | 0;
    k1 = (k1 + W1) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}
