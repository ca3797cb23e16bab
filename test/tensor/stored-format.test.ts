import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decode, decodeInto, encode } from "../../src/tensor/stored-format.ts";
import { testSeed } from "../../src/testing/random.ts";

const FORMATS = [
  { format: "f16", exponentBits: 5, mantissaBits: 10 },
  { format: "bf16", exponentBits: 8, mantissaBits: 7 },
] as const;

const bitsOf = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer);
const fromBits = (...words: number[]): Float32Array => new Float32Array(Uint32Array.from(words).buffer);
const ALL = Uint16Array.from({ length: 0x10000 }, (_, half) => half);

/** What the bits of a half mean, by the definition of IEEE 754. */
function meaning(half: number, exponentBits: number, mantissaBits: number): number {
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half & 0x7fff) >> mantissaBits;
  const fraction = (half & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

describe.each(FORMATS)("$format", ({ format, exponentBits, mantissaBits }) => {
  const infinity = (2 ** exponentBits - 1) << mantissaBits;

  it("is decoded exactly: all 65536 patterns, subnormals and infinities too", () => {
    const values = decode(format, ALL);
    const wrong = ALL.filter((half) => !Object.is(values[half], meaning(half, exponentBits, mantissaBits)));
    expect([...wrong]).toEqual([]);
  });

  it("comes back as it was from f32, but for the payload of a NaN", () => {
    const again = encode(format, decode(format, ALL));
    const holdsNaN = (half: number): boolean => (half & 0x7fff) > infinity;
    expect([...ALL.filter((half) => (holdsNaN(half) ? !holdsNaN(again[half]) : again[half] !== half))]).toEqual([]);
  });

  it("is rounded to the nearest value, and to the even one of two", () => {
    const steps = Array.from(decode(format, ALL.subarray(0, infinity)), Number);
    // Where rounding would go if the exponent went on: beyond half of the last step lies infinity.
    const end = 2 * steps[infinity - 1] - steps[infinity - 2];
    const nearest = (x: number): number => {
      let [low, high] = [0, infinity];
      const at = (code: number): number => (code === infinity ? end : steps[code]);
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (at(middle) <= x) low = middle;
        else high = middle;
      }
      if (x >= end) return infinity;
      const [down, up] = [x - at(low), at(high) - x];
      return down < up || (down === up && low % 2 === 0) ? low : high;
    };
    const word = fc.integer({ min: 0, max: 0x7f800000 });
    // Halfway between two neighbours, and one f32 to either side of it.
    const tie = fc
      .tuple(fc.integer({ min: 0, max: infinity - 1 }), fc.integer({ min: -1, max: 1 }))
      .map(([code, side]) => {
        const middle = Math.fround((steps[code] + (code + 1 === infinity ? end : steps[code + 1])) / 2);
        return bitsOf(Float32Array.of(middle))[0] + side;
      })
      .filter((bits) => bits >= 0);
    fc.assert(
      fc.property(fc.oneof(word, tie), fc.boolean(), (bits, isNegative) => {
        const [x] = fromBits(bits);
        const [half] = encode(format, Float32Array.of(isNegative ? -x : x));
        expect(half).toBe(nearest(x) | (isNegative ? 0x8000 : 0));
      }),
      { numRuns: 5000, seed: testSeed() },
    );
  });

  it("is decoded from anywhere in an array, in pieces", () => {
    const values = Float32Array.of(1, 2, 3, 4, 5);
    const out = new Float32Array(5);
    decodeInto(format, encode(format, values), out.subarray(1, 3), 2);
    expect([...out]).toEqual([0, 3, 4, 0, 0]);
  });
});

it("writes what PyTorch 2.13 writes for ties, ends, subnormals and NaN", () => {
  // f32 bits, x.half() and x.bfloat16() as bits.
  const rows = [
    [0x3f800000, 0x3c00, 0x3f80],
    [0x3f801000, 0x3c00, 0x3f80],
    [0x3f803000, 0x3c02, 0x3f80],
    [0x3f808000, 0x3c04, 0x3f80],
    [0x3f818000, 0x3c0c, 0x3f82],
    [0x477fefff, 0x7bff, 0x4780],
    [0x477ff000, 0x7c00, 0x4780],
    [0xc77ff000, 0xfc00, 0xc780],
    [0x33000000, 0x0000, 0x3300],
    [0x33000001, 0x0001, 0x3300],
    [0x33c00000, 0x0002, 0x33c0],
    [0x387fffff, 0x0400, 0x3880],
    [0x00000001, 0x0000, 0x0000],
    [0x80018000, 0x8000, 0x8002],
    [0x7f7fffff, 0x7c00, 0x7f80],
    [0x7f800000, 0x7c00, 0x7f80],
    [0xff800000, 0xfc00, 0xff80],
  ];
  const values = fromBits(...rows.map(([bits]) => bits));
  expect([...encode("f16", values)]).toEqual(rows.map(([, half]) => half));
  expect([...encode("bf16", values)]).toEqual(rows.map(([, , half]) => half));
  expect([...encode("f16", fromBits(0x7fc00001, 0xff800001))]).toEqual([0x7e00, 0xfe00]);
  expect([...encode("bf16", fromBits(0x7fc00001, 0xff800001))]).toEqual([0x7fc0, 0x7fc0]);
});
