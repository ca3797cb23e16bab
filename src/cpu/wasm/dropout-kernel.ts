import { type Code, countWhile, type Frame, get, ifElse, increase, type Local, set } from "./assembler.ts";
import { f32x4, i32, i32x4, i64x2, shuffleWords, v128 } from "./instructions.ts";
import { kernel } from "./kernel.ts";

/** Floats of a unit. */
export const DROPOUT_A_UNIT = 16_384;
/** Elements of a turn: four random words of each of four counters. */
const TURN = 16;
const TURN_BYTES = TURN * 4;
const ROUNDS = 10;
/** Philox 4x32's multipliers, and what its two key words grow by from round to round. */
const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57] as const;
const KEY_STEPS = [0x9e3779b9, 0xbb67ae85] as const;

/** Philox 4x32-10 of four counters at once, one in each lane. */
class Philox {
  /** The counters' four words, and afterwards the random ones. */
  readonly words: readonly Local[];
  readonly #keys: readonly (readonly [Local, Local])[];
  readonly #multipliers: readonly Local[];
  readonly #products: readonly Local[];

  constructor(frame: Frame) {
    this.words = frame.locals("v128", 4);
    this.#multipliers = frame.locals("v128", 2);
    this.#products = frame.locals("v128", 4);
    this.#keys = Array.from({ length: ROUNDS }, () => [frame.local("v128"), frame.local("v128")] as const);
  }

  /** To be run once: the keys of all rounds, from the words of the first. */
  prepare(key: readonly [Code, Code]): Code[] {
    const keyOf = (round: number, word: 0 | 1): Code =>
      i32x4.splat(i32.add(key[word], i32.constant(Math.imul(round, KEY_STEPS[word]))));
    return [
      ...this.#multipliers.map((local, i) => set(local, i32x4.splat(i32.constant(MULTIPLIERS[i] | 0)))),
      ...this.#keys.flatMap(([first, second], round) => [set(first, keyOf(round, 0)), set(second, keyOf(round, 1))]),
    ];
  }

  /** Replace the counters by their random words. */
  run(): Code[] {
    return this.#keys.flatMap(([key0, key1]) => {
      const [c0, c1, c2, c3] = this.words;
      const [low0, high0, low1, high1] = this.#products;
      const xor = (x: Local, y: Local, z: Local): Code => v128.xor(v128.xor(get(x), get(y)), get(z));
      return [
        ...this.#wideProduct(c0, this.#multipliers[0], low0, high0),
        ...this.#wideProduct(c2, this.#multipliers[1], low1, high1),
        set(c0, xor(high1, c1, key0)),
        set(c1, get(low1)),
        set(c2, xor(high0, c3, key1)),
        set(c3, get(low0)),
      ];
    });
  }

  /** The low and the high words of x · y. */
  #wideProduct(x: Local, y: Local, low: Local, high: Local): Code[] {
    return [
      set(high, shuffleWords(i64x2.multiplyLow(get(x), get(y)), i64x2.multiplyHigh(get(x), get(y)), [1, 3, 5, 7])),
      set(low, i32x4.multiply(get(x), get(y))),
    ];
  }
}

/** Four vectors of four: rows become columns. */
function transpose(vectors: readonly Local[], spare: readonly Local[]): Code[] {
  const [a, b, c, d] = vectors;
  const [p, q, r, s] = spare;
  const pairs = (x: Local, y: Local, words: readonly number[]): Code => shuffleWords(get(x), get(y), words);
  return [
    set(p, pairs(a, b, [0, 4, 1, 5])), set(q, pairs(c, d, [0, 4, 1, 5])),
    set(r, pairs(a, b, [2, 6, 3, 7])), set(s, pairs(c, d, [2, 6, 3, 7])),
    set(a, pairs(p, q, [0, 1, 4, 5])), set(b, pairs(p, q, [2, 3, 6, 7])),
    set(c, pairs(r, s, [0, 1, 4, 5])), set(d, pairs(r, s, [2, 3, 6, 7])),
  ];
}

/**
 * `y[i] = x[i] · (word(i) >= threshold ? scale : 0)` where `word(i)` is word `i mod 4` of Philox 4x32-10 of the
 * counter (⌊i/4⌋, 0, stream, purpose) under the key (seed, 0).
 *
 *     for each four counters: ten rounds; compare; transpose to the order of the elements; y = x · factor
 */
export const dropoutElements = kernel(
  "dropoutElements",
  {
    x: "in", y: "out", count: "i32",
    seed: "i32", stream: "i32", purpose: "i32", threshold: "i32", scale: "f32",
  },
  (frame, at) => {
    const [position, end, x, y, factor, last] = frame.locals("i32", 6);
    const [threshold, scale] = frame.locals("v128", 2);
    const spare = frame.locals("v128", 4);
    const philox = new Philox(frame);
    const { words } = philox;
    const [c0, c1, c2, c3] = words;
    const whole = words.map((word, v) => v128.store(get(y), v * 16, f32x4.multiply(v128.load(get(x), v * 16), get(word))));
    // What is left of the last turn: the factors in memory, then one element at a time.
    const rest = [
      ...words.map((word, v) => v128.store(get(at.scratch), v * 16, get(word))),
      set(factor, get(at.scratch)),
      set(last, i32.add(get(at.y), get(end))),
      countWhile(y, 4, get(last), [
        v128.storeFirst(get(y), 0, f32x4.multiply(v128.loadZero(get(x), 0), v128.loadZero(get(factor), 0))),
        increase(x, i32.constant(4)),
        increase(factor, i32.constant(4)),
      ]),
    ];
    return [
      ...philox.prepare([get(at.seed), i32.constant(0)]),
      set(threshold, i32x4.splat(get(at.threshold))),
      set(scale, f32x4.splat(get(at.scale))),
      set(position, i32.multiply(get(at.unit), i32.constant(DROPOUT_A_UNIT * 4))),
      set(end, i32.min(i32.add(get(position), i32.constant(DROPOUT_A_UNIT * 4)), i32.shiftLeft(get(at.count), i32.constant(2)))),
      countWhile(position, TURN_BYTES, get(end), [
        set(c0, i32x4.add(i32x4.splat(i32.shiftRight(get(position), i32.constant(4))), i32x4.lanes([0, 1, 2, 3]))),
        set(c1, v128.zero()),
        set(c2, i32x4.splat(get(at.stream))),
        set(c3, i32x4.splat(get(at.purpose))),
        ...philox.run(),
        ...words.map((word) => set(word, v128.and(i32x4.atLeastUnsigned(get(word), get(threshold)), get(scale)))),
        ...transpose(words, spare),
        set(x, i32.add(get(at.x), get(position))),
        set(y, i32.add(get(at.y), get(position))),
        ifElse(i32.lessThan(i32.add(get(position), i32.constant(TURN_BYTES - 1)), get(end)), whole, rest),
      ]),
    ];
  },
);
