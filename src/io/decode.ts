import { PolargradError } from "../tensor/errors.ts";
import { decode } from "../tensor/stored-format.ts";
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
  if (dtype === "BF16") return decode("bf16", halvesOf(data));
  if (dtype === "F16") return decode("f16", halvesOf(data));
  throw new DecodeError(dtype, `expected floats (F32, F16, BF16 or F64), got dtype ${quote(dtype)}`);
}

/** As `decodeFloat32`, but F32 bytes that lie aligned are looked at in place: for reading only. */
export function viewFloat32(tensor: Pick<SafetensorsTensor, "dtype" | "data">): Float32Array {
  const { buffer, byteOffset, byteLength } = tensor.data;
  if (tensor.dtype !== "F32" || byteOffset % 4 !== 0) return decodeFloat32(tensor);
  return new Float32Array(buffer, byteOffset, byteLength / 4);
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

/** F16 or BF16 bytes as new 16-bit patterns. @throws DecodeError for other dtypes */
export function copyHalves({ dtype, data }: Pick<SafetensorsTensor, "dtype" | "data">): Uint16Array {
  if (dtype === "F16" || dtype === "BF16") return new Uint16Array(copyBuffer(data));
  throw new DecodeError(dtype, `expected 16-bit floats (F16 or BF16), got dtype ${quote(dtype)}`);
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

/** The 16-bit patterns in the bytes, which may begin at an odd address. */
function halvesOf(data: Uint8Array): Uint16Array {
  const isAligned = data.byteOffset % 2 === 0;
  return isAligned
    ? new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2)
    : new Uint16Array(copyBuffer(data));
}
