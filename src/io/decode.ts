import { PolargradError } from "../tensor/errors.ts";
import { quote } from "./quote.ts";
import type { SafetensorsTensor } from "./safetensors-read.ts";

/** A tensor whose dtype cannot be decoded to what was asked for, or an integer that does not fit. */
export class DecodeError extends PolargradError {
  override readonly name = "DecodeError";
  readonly dtype: string;

  constructor(dtype: string, why: string) {
    super(why);
    this.dtype = dtype;
  }
}

/**
 * F32, F16, BF16 or F64 bytes as new 32-bit floats. F32 keeps every bit, F16 and BF16 are exact, F64 is
 * rounded to nearest.
 *
 * @throws DecodeError for other dtypes
 */
export function decodeFloat32({ dtype, data }: Pick<SafetensorsTensor, "dtype" | "data">): Float32Array {
  if (dtype === "F32") return new Float32Array(copyBuffer(data));
  if (dtype === "F64") return new Float32Array(new Float64Array(copyBuffer(data)));
  if (dtype === "BF16") return fromHalves(data, (half) => half << 16);
  if (dtype === "F16") {
    const table = float16Table();
    return fromHalves(data, (half) => table[half]);
  }
  throw new DecodeError(dtype, `expected floats (F32, F16, BF16 or F64), got dtype ${quote(dtype)}`);
}

/**
 * F64, F32, F16 or BF16 bytes as new 64-bit floats, all exact.
 *
 * @throws DecodeError for other dtypes
 */
export function decodeFloat64(tensor: Pick<SafetensorsTensor, "dtype" | "data">): Float64Array {
  if (tensor.dtype === "F64") return new Float64Array(copyBuffer(tensor.data));
  return new Float64Array(decodeFloat32(tensor));
}

/**
 * I32 or I64 bytes as new 32-bit integers.
 *
 * @throws DecodeError for other dtypes, and for a 64-bit value outside -2³¹ … 2³¹ - 1
 */
export function decodeInt32({ dtype, data }: Pick<SafetensorsTensor, "dtype" | "data">): Int32Array {
  if (dtype === "I32") return new Int32Array(copyBuffer(data));
  if (dtype !== "I64") {
    throw new DecodeError(dtype, `expected integers (I32 or I64), got dtype ${quote(dtype)}`);
  }
  const words = new Int32Array(copyBuffer(data)); // low word first
  const values = new Int32Array(words.length / 2);
  for (let i = 0; i < values.length; i++) {
    values[i] = words[2 * i];
    if (words[2 * i + 1] !== values[i] >> 31) {
      const value = new BigInt64Array(words.buffer, 8 * i, 1)[0];
      throw new DecodeError(dtype, `the integer ${value} at index ${i} does not fit 32 bits`);
    }
  }
  return values;
}

/**
 * The bytes in a buffer of their own, so that views of any element size are aligned and hold no file alive.
 */
function copyBuffer(data: Uint8Array): ArrayBuffer {
  return new Uint8Array(data).buffer;
}

/** Widen 16-bit patterns to the bits of 32-bit floats; going through integers keeps NaN payloads. */
function fromHalves(data: Uint8Array, widen: (half: number) => number): Float32Array {
  const isAligned = data.byteOffset % 2 === 0;
  const halves = isAligned
    ? new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2)
    : new Uint16Array(copyBuffer(data));
  const values = new Float32Array(halves.length);
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < halves.length; i++) bits[i] = widen(halves[i]);
  return values;
}

let cachedTable: Uint32Array | undefined;

/** The bits of the 32-bit float of every 16-bit float: 256 KiB, built at the first use. */
function float16Table(): Uint32Array {
  cachedTable ??= Uint32Array.from({ length: 0x10000 }, (_, half) => widenFloat16(half));
  return cachedTable;
}

/** IEEE 754 binary16 (1 sign, 5 exponent, 10 mantissa bits) to binary32 (1, 8, 23). */
function widenFloat16(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  const shift = Math.clz32(mantissa) - 21; // moves the leading one of a subnormal to bit 10
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
}
