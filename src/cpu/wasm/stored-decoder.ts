import { type BlockFormat, isBlock, type StoredFormat } from "../../tensor/dtype.ts";
import { type Code, type Frame, get, type Local, set } from "./assembler.ts";
import { f32x4, i16x8, i32, i32x4, v128 } from "./instructions.ts";

const word = (bits: number): Code => i32x4.lanes(new Array<number>(4).fill(bits | 0));

/** What a decoder compares and multiplies with: in a loop, engines build a vector constant anew each time. */
const CONSTANTS = {
  /** Sign, exponent and mantissa of an f16 where f32 has them; the bits between are copies of the sign. */
  halfBits: word(0x8fffe000),
  halfUnit: f32x4.constant(2 ** 112),
  firstInfinite: f32x4.constant(2 ** 16),
  infiniteExponent: word(0x7f800000),
  lowNibbles: word(0x000f000f),
  minusEight: f32x4.constant(-8),
};

/** What may lie in memory: the stored formats, and the f32 that they decode to. */
export const WEIGHT_FORMATS = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"] as const satisfies readonly (StoredFormat | "f32")[];
/** One of `WEIGHT_FORMATS`. */
export type WeightFormat = (typeof WEIGHT_FORMATS)[number];

/** Bytes of a step's integers, and of a block's scale with its minimum. */
const STEP_BYTES: Readonly<Record<WeightFormat, number>> = { f32: 32, f16: 16, bf16: 16, q8_0: 32, q4_0: 16, q4_1: 16 };
const SCALE_BYTES: Readonly<Record<BlockFormat, number>> = { q8_0: 2, q4_0: 2, q4_1: 4 };

/** Where the integers of a step and the scale of its block lie. */
export interface StepAddress {
  readonly integers: Code;
  readonly scale: Code;
}

/**
 * Decodes the elements of one format in steps: a block, or 8 of the others. Exact, floats to the bits of a NaN.
 */
export class StoredDecoder {
  /** Elements of a step. */
  readonly elements: 8 | 32;
  /** Bytes of a step's integers, and of its scale (with the minimum of q4_1). */
  readonly integerBytes: number;
  readonly scaleBytes: number;
  readonly #frame: Frame;
  readonly #format: WeightFormat;
  readonly #pair: Local;
  readonly #scale: Local;
  readonly #least: Local;
  readonly #constants: Readonly<Record<keyof typeof CONSTANTS, Local>>;

  constructor(frame: Frame, format: WeightFormat) {
    this.#frame = frame;
    this.#format = format;
    this.elements = isBlock(format) ? 32 : 8;
    this.integerBytes = STEP_BYTES[format];
    this.scaleBytes = isBlock(format) ? SCALE_BYTES[format] : 0;
    [this.#pair, this.#scale, this.#least] = frame.locals("v128", 3);
    const names = Object.keys(CONSTANTS) as (keyof typeof CONSTANTS)[];
    this.#constants = Object.fromEntries(names.map((name) => [name, frame.local("v128")])) as Record<keyof typeof CONSTANTS, Local>;
  }

  /** Pairs of vectors in a step. */
  get pairs(): number {
    return this.elements / 8;
  }

  /** How far from the first integers, and from the first scale, those of an element lie. */
  offsets(element: Code): StepAddress {
    const scale = i32.multiply(i32.divide(element, i32.constant(this.elements)), i32.constant(this.scaleBytes));
    const [times, parts] = [this.integerBytes / this.elements, this.elements / this.integerBytes];
    return { integers: times < 1 ? i32.divide(element, i32.constant(parts)) : i32.multiply(element, i32.constant(times)), scale };
  }

  /** Runs once, before all steps. */
  start(): Code[] {
    return Object.entries(this.#constants).map(([name, local]) => set(local, CONSTANTS[name as keyof typeof CONSTANTS]));
  }

  /** Runs before the pairs of a step. */
  prepare({ scale }: StepAddress): Code[] {
    if (!isBlock(this.#format)) return [];
    const word = get(this.#scale);
    const upper = (x: Code): Code => this.#widened(this.#least, i32x4.shiftRight(x, 3));
    return [
      set(this.#scale, v128.loadSplat(scale, 0)),
      ...(this.#format === "q4_1" ? [set(this.#pair, upper(word))] : []),
      set(this.#scale, upper(i32x4.shiftLeft(word, 16))),
      ...(this.#format === "q4_1" ? [set(this.#least, get(this.#pair))] : []),
      ...(this.#format === "q4_0" ? [set(this.#least, f32x4.multiply(get(this.#constants.minusEight), word))] : []),
    ];
  }

  /** Put elements 8·`pair` to 8·`pair` + 7 of a step into two vectors. */
  pair(pair: number, { integers }: StepAddress, [low, high]: readonly [Local, Local]): Code[] {
    const both = get(this.#pair);
    const [lower, upper] = [i32x4.fromLowHalves(both), i32x4.fromHighHalves(both)];
    switch (this.#format) {
      case "f32":
        return [low, high].map((vector, i) => set(vector, v128.load(integers, i * 16)));
      case "bf16":
        return [low, high].map((vector, i) => set(vector, i32x4.shiftLeft(v128.loadHalvesUnsigned(integers, i * 8), 16)));
      case "f16":
        return [low, high].map((vector, i) =>
          set(vector, this.#widened(this.#pair, i32x4.shiftLeft(v128.loadHalves(integers, i * 8), 13))),
        );
      case "q8_0":
        return [
          set(this.#pair, v128.loadBytes(integers, pair * 8)),
          set(low, f32x4.multiply(f32x4.fromI32(lower), get(this.#scale))),
          set(high, f32x4.multiply(f32x4.fromI32(upper), get(this.#scale))),
        ];
      default: {
        const bytes = v128.loadBytesUnsigned(integers, (pair % 2) * 8);
        const nibbles = pair < 2 ? v128.and(bytes, get(this.#constants.lowNibbles)) : i16x8.shiftRight(bytes, 4);
        const value = (x: Code): Code => this.#frame.multiplyAdd(f32x4.fromI32(x), get(this.#scale), get(this.#least));
        return [set(this.#pair, nibbles), set(low, value(lower)), set(high, value(upper))];
      }
    }
  }

  /**
   * The f32 of four f16, each in bits 27 to 13 with the sign above them: as an f32 it is the value times 2⁻¹¹², subnormals
   * too; infinity and NaN, then 2¹⁶ and above, get their exponent.
   */
  #widened(work: Local, bits: Code): Code {
    const { halfBits, halfUnit, firstInfinite, infiniteExponent } = this.#constants;
    const isInfinite = f32x4.atLeast(f32x4.absolute(get(work)), get(firstInfinite));
    return [
      ...set(work, f32x4.multiply(v128.and(bits, get(halfBits)), get(halfUnit))),
      ...v128.or(get(work), v128.and(isInfinite, get(infiniteExponent))),
    ];
  }
}
