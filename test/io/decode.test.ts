import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  DecodeError,
  decodeFloat32,
  decodeFloat64,
  decodeInt32,
  type SafetensorsDType,
} from "../../src/io/index.ts";

const bytesOf = (view: ArrayBufferView): Uint8Array =>
  new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

/** The value of a binary16 by its definition, apart from NaN. */
function float16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const mantissa = half & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

describe("decodeFloat32", () => {
  const patterns = Uint16Array.from({ length: 0x10000 }, (_, i) => i);

  it("is exact for all 65,536 16-bit floats", () => {
    const values = decodeFloat32({ dtype: "F16", data: bytesOf(patterns) });
    expect(values.findIndex((value, half) => !Object.is(value, float16(half)))).toBe(-1);
  });

  it("puts the 16 bits of a bfloat16 on top, NaN payloads too", () => {
    const bits = new Uint32Array(decodeFloat32({ dtype: "BF16", data: bytesOf(patterns) }).buffer);
    expect(bits.findIndex((value, half) => value !== half * 0x10000)).toBe(-1);
  });

  it("copies F32 bit for bit and rounds F64, at any alignment", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ noNaN: false })), fc.nat(7), (numbers, shift) => {
        const shifted = (view: ArrayBufferView): Uint8Array => {
          const bytes = new Uint8Array(shift + view.byteLength);
          bytes.set(bytesOf(view), shift);
          return bytes.subarray(shift);
        };
        const f32 = new Float32Array(numbers);
        const f64 = new Float64Array(numbers);
        expect(decodeFloat32({ dtype: "F32", data: shifted(f32) })).toEqual(f32);
        expect(decodeFloat32({ dtype: "F64", data: shifted(f64) })).toEqual(f32);
        expect(decodeFloat64({ dtype: "F64", data: shifted(f64) })).toEqual(f64);
        expect(decodeFloat64({ dtype: "F32", data: shifted(f32) })).toEqual(new Float64Array(f32));
        const halves = shifted(patterns.subarray(0x3c00, 0x3c10));
        expect(decodeFloat32({ dtype: "F16", data: halves })[1]).toBe(float16(0x3c01));
      }),
    );
  });

  it("returns memory of its own", () => {
    const data = bytesOf(new Float32Array([1]));
    const values = decodeFloat32({ dtype: "F32", data });
    data.fill(0);
    expect(values).toEqual(new Float32Array([1]));
  });

  it.each(["F16", "BF16"] as const)("decodes 4 million %s values in well under a second", (dtype) => {
    const data = new Uint8Array(8e6);
    decodeFloat32({ dtype, data: data.subarray(0, 8) });
    const start = performance.now();
    decodeFloat32({ dtype, data });
    const milliseconds = performance.now() - start;
    console.log(`decodeFloat32 ${dtype}: ${milliseconds.toFixed(0)} ms for 4 million values`);
    expect(milliseconds).toBeLessThan(500);
  });

  it.each<SafetensorsDType>(["I64", "U8", "BOOL", "F8_E4M3"])("refuses %s", (dtype) => {
    expect(() => decodeFloat32({ dtype, data: new Uint8Array(8) })).toThrow(DecodeError);
  });
});

describe("decodeInt32", () => {
  it("reads I32 and I64", () => {
    const numbers = [0, 1, -1, 2 ** 31 - 1, -(2 ** 31)];
    const wide = BigInt64Array.from(numbers, BigInt);
    expect([...decodeInt32({ dtype: "I32", data: bytesOf(Int32Array.from(numbers)) })]).toEqual(numbers);
    expect([...decodeInt32({ dtype: "I64", data: bytesOf(wide) })]).toEqual(numbers);
  });

  it("names the integer that does not fit, and refuses floats", () => {
    for (const wide of [2n ** 31n, -(2n ** 31n) - 1n, 2n ** 40n]) {
      const data = bytesOf(BigInt64Array.of(0n, wide));
      expect(() => decodeInt32({ dtype: "I64", data })).toThrow(
        `the integer ${wide} at index 1 does not fit`,
      );
    }
    expect(() => decodeInt32({ dtype: "F32", data: new Uint8Array(4) })).toThrow(DecodeError);
  });
});
