import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { quantizeBlocks } from "../../src/tensor/blocks.ts";
import { BLOCK, type BlockFormat } from "../../src/tensor/dtype.ts";
import { decode, decodeInto, encode } from "../../src/tensor/stored-format.ts";
import { testSeed } from "../../src/testing/random.ts";

const FORMATS: BlockFormat[] = ["q8_0", "q4_0", "q4_1"];
const EXACT = 2 ** -22;

const pack = (format: BlockFormat, values: ArrayLike<number>): Uint8Array => {
  const packed = quantizeBlocks(format, Float32Array.from(values));
  if (!packed) throw new Error("not packed");
  return packed;
};

/** How far rounding to f16 may move a number. */
const halfError = (x: number): number => Math.max(Math.abs(x) * 2 ** -11, 2 ** -25);

/** The documented bound for a value of a block. */
function bound(format: BlockFormat, block: readonly number[], x: number): number {
  const [low, high] = [Math.min(...block), Math.max(...block)];
  const a = Math.max(high, -low);
  if (format === "q4_1") {
    const d = (high - low) / 15;
    return d / 2 + 15 * halfError(d) + halfError(low) + EXACT * a;
  }
  const [d, steps] = format === "q8_0" ? [a / 127, 127] : [a / 8, 8];
  // The largest magnitude is -8 steps: on the other side the last step is missing.
  const isCut = format === "q4_0" && Math.abs(x) > (7 / 8) * a && Math.sign(x) !== Math.sign(block.find((v) => Math.abs(v) === a) ?? 0);
  return (isCut ? d : d / 2) + steps * halfError(d) + EXACT * a;
}

const scaled = fc.tuple(
  fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: BLOCK, maxLength: BLOCK }),
  fc.integer({ min: -30, max: 12 }),
  fc.constantFrom(0, 0, 3),
).map(([values, power, shift]) => values.map((value) => Math.fround((value + shift) * 2 ** power)));

describe.each(FORMATS)("%s", (format) => {
  it("moves no value by more than its bound, from 2^-30 to 2^14, and takes the bytes that it says", () => {
    fc.assert(
      fc.property(fc.array(scaled, { minLength: 1, maxLength: 3 }), (blocks) => {
        const values = blocks.flat();
        const packed = pack(format, values);
        expect(packed.byteLength).toBe({ q8_0: 34, q4_0: 18, q4_1: 20 }[format] * blocks.length);
        const decoded = decode(format, packed);
        const wrong = values.flatMap((x, i) => {
          const most = bound(format, blocks[Math.floor(i / BLOCK)], x);
          return Math.abs(decoded[i] - x) <= most ? [] : [{ x, decoded: decoded[i], most }];
        });
        expect(wrong).toEqual([]);
      }),
      { numRuns: 400, seed: testSeed() },
    );
  });

  it("gives back a constant block, zeros and one peak", () => {
    const one = (x: number): number[] => [...decode(format, pack(format, new Float32Array(BLOCK).fill(x)))];
    expect(one(0)).toEqual(new Array(BLOCK).fill(0));
    for (const x of [1, -0.5]) for (const value of one(x)) expect(value).toBeCloseTo(x, 2);
    const peak = Float32Array.from({ length: BLOCK }, (_, i) => (i === 5 ? -2 : 0));
    expect([...decode(format, pack(format, peak))].map((v) => Math.round(v * 100) / 100 || 0)).toEqual([...peak]);
    // Smaller than any f16 scale.
    expect(one(1e-38)).toEqual(new Array(BLOCK).fill(0));
  });

  it("decodes any range of blocks as all of them", () => {
    const values = Float32Array.from({ length: 5 * BLOCK }, (_, i) => Math.sin(i) * (1 + i / 50));
    const packed = pack(format, values);
    const part = new Float32Array(2 * BLOCK);
    decodeInto(format, packed, part, 2 * BLOCK);
    expect(part).toEqual(decode(format, packed).subarray(2 * BLOCK, 4 * BLOCK));
  });

  it("refuses what is not finite, or beyond the scales", () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -3e38]) {
      expect(quantizeBlocks(format, Float32Array.from({ length: BLOCK }, (_, i) => (i === 7 ? value : 1)))).toBeNull();
    }
    expect(quantizeBlocks(format, new Float32Array(0))).toEqual(new Uint8Array(0));
  });
});

describe("the numbers of ggml", () => {
  const ramp = Float32Array.from({ length: BLOCK }, (_, i) => i - 16);
  const half = (x: number): number => encode("f16", Float32Array.of(x))[0];
  const scalesOf = (packed: Uint8Array, at: number): number[] => [...new Uint16Array(packed.buffer, at)];

  it("q8_0: d = max|x| / 127, integers rounded half away from zero", () => {
    const packed = pack("q8_0", ramp);
    const d = Math.fround(16 / 127);
    expect([...new Int8Array(packed.buffer, 0, BLOCK)]).toEqual([...ramp].map((x) => Math.sign(x) * Math.floor(Math.abs(x) / d + 0.5) || 0));
    expect(scalesOf(packed, BLOCK)).toEqual([half(d)]);
    const ties = pack("q8_0", [127, 2.5, -2.5, 0.5, -0.5, ...new Array(27).fill(0)]);
    expect([...new Int8Array(ties.buffer, 0, 5)]).toEqual([127, 3, -3, 1, -1]);
  });

  it("q4_0: d = x / -8 for the x of the largest magnitude; elements j and j + 16 share a byte", () => {
    const packed = pack("q4_0", ramp);
    const number = (x: number): number => Math.min(15, Math.floor(x / 2 + 8.5));
    expect([...packed.subarray(0, 16)]).toEqual(Array.from({ length: 16 }, (_, j) => number(ramp[j]) | (number(ramp[j + 16]) << 4)));
    expect(scalesOf(packed, 16)).toEqual([half(2)]);
  });

  it("q4_1: d = (max - min) / 15, and min", () => {
    const packed = pack("q4_1", ramp);
    const number = (x: number): number => Math.floor((x + 16) / (31 / 15) + 0.5);
    expect([...packed.subarray(0, 16)]).toEqual(Array.from({ length: 16 }, (_, j) => number(ramp[j]) | (number(ramp[j + 16]) << 4)));
    expect(scalesOf(packed, 16)).toEqual([half(Math.fround(31 / 15)), half(-16)]);
  });
});
