import { type Code, type Frame, get, type Local, set } from "./assembler.ts";
import { f32, f32x4, i32x4, v128 } from "./instructions.ts";

/** e^x is a normal f32 from here … */
const LOWEST = -87.33;
/** … and infinite from a little below here. */
const HIGHEST = 88.8;
/** ln 2 in two parts: the first has so few bits that its products with whole numbers are exact. */
const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.12194440e-4;
/** `(e^r - 1 - r) / r²` for |r| up to ln(2)/2, highest power first (Cephes' expf). */
const POLYNOMIAL = [
  1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
];
/** Adding it to a small float rounds that to a whole number, which the sum's low bits then hold. */
const ROUNDER = 1.5 * 2 ** 23;
const MANTISSA_BITS = 23;

const CONSTANTS = [LOWEST, HIGHEST, 1 / Math.LN2, ROUNDER, -LN2_HIGH, -LN2_LOW, 1, ...POLYNOMIAL] as const;

/**
 * e^x in four lanes, relative error below 2e-7: `2ⁿ · eʳ` with `n = round(x / ln 2)`. 0 below -87.33 (where
 * f32 has no normal numbers), infinity above 88.4; NaN stays.
 */
export class Exponential {
  readonly #frame: Frame;
  readonly #constants: readonly Local[];
  readonly #x: Local;
  readonly #n: Local;
  readonly #r: Local;

  constructor(frame: Frame) {
    this.#frame = frame;
    this.#constants = frame.locals("v128", CONSTANTS.length);
    [this.#x, this.#n, this.#r] = frame.locals("v128", 3);
  }

  /** To be run once, before any loop: engines load vector constants slowly. */
  prepare(): Code[] {
    return this.#constants.map((local, i) => set(local, f32x4.splat(f32.constant(CONSTANTS[i]))));
  }

  /** The number 1 four times. */
  one(): Code {
    return get(this.#constants[6]);
  }

  /** e^value. */
  of(value: Code): Code {
    const [lowest, highest, perLn2, rounder, minusHigh, minusLow, one, ...polynomial] = this.#constants.map(get);
    const [x, n, r] = [this.#x, this.#n, this.#r];
    const sum = polynomial
      .slice(1)
      .reduce<Code>((total, coefficient) => this.#frame.multiplyAdd(total, get(r), coefficient), polynomial[0]);
    const power = this.#frame.multiplyAdd(f32x4.multiply(get(r), get(r)), sum, f32x4.add(get(r), one));
    // The bits of 1.0 plus n in the exponent.
    const scale = i32x4.add(i32x4.shiftLeft(get(n), MANTISSA_BITS), one);
    return [
      ...set(x, value),
      ...set(r, f32x4.pseudoMax(f32x4.pseudoMin(get(x), highest), lowest)),
      ...set(n, this.#frame.multiplyAdd(get(r), perLn2, rounder)),
      ...set(r, this.#frame.multiplyAdd(f32x4.subtract(get(n), rounder), minusHigh, get(r))),
      ...set(r, this.#frame.multiplyAdd(f32x4.subtract(get(n), rounder), minusLow, get(r))),
      ...v128.andNot(f32x4.multiply(power, scale), f32x4.lessThan(get(x), lowest)),
    ];
  }
}
