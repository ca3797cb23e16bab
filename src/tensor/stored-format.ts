import { dequantizeInto } from "./blocks.ts";
import { bytesPerElement, type HalfFormat, type PackedArray, type StoredFormat } from "./dtype.ts";
import { narrowBF16, narrowF16, widenBF16, widenF16 } from "./half.ts";

const bitsOf = ({ buffer, byteOffset, length }: Float32Array): Uint32Array => new Uint32Array(buffer, byteOffset, length);

/**
 * The elements of a packed array from `first` on, as many as `out` holds, as f32: exact, f16 and bf16 to the bits of a NaN. Of a
 * format of blocks whole blocks only.
 */
export function decodeInto(format: StoredFormat, packed: PackedArray, out: Float32Array, first = 0): void {
  if (format === "f16") widenF16(packed as Uint16Array, bitsOf(out), first);
  else if (format === "bf16") widenBF16(packed as Uint16Array, bitsOf(out), first);
  else dequantizeInto(format, packed as Uint8Array, out, first);
}

/** The elements of a packed array as f32. */
export function decode(format: StoredFormat, packed: PackedArray): Float32Array {
  const out = new Float32Array(packed.byteLength / bytesPerElement(format));
  decodeInto(format, packed, out);
  return out;
}

/** Values rounded to 16 bits: to nearest, ties to even. */
export function encode(format: HalfFormat, values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  if (format === "f16") narrowF16(bitsOf(values), out);
  else narrowBF16(bitsOf(values), out);
  return out;
}
