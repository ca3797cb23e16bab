import type { PackedArray, StoredFormat } from "./dtype.ts";
import { narrowBF16, narrowF16, widenBF16, widenF16 } from "./half.ts";

const bitsOf = ({ buffer, byteOffset, length }: Float32Array): Uint32Array => new Uint32Array(buffer, byteOffset, length);

/** The elements of a packed array from `first` on, as many as `out` holds, as f32: exact, to the bits of a NaN. */
export function decodeInto(format: StoredFormat, packed: PackedArray, out: Float32Array, first = 0): void {
  if (format === "f16") widenF16(packed, bitsOf(out), first);
  else widenBF16(packed, bitsOf(out), first);
}

/** The elements of a packed array as f32, exact. */
export function decode(format: StoredFormat, packed: PackedArray): Float32Array {
  const out = new Float32Array(packed.length);
  decodeInto(format, packed, out);
  return out;
}

/** Values rounded to a stored format: to nearest, ties to even. */
export function encode(format: StoredFormat, values: Float32Array): PackedArray {
  const out = new Uint16Array(values.length);
  if (format === "f16") narrowF16(bitsOf(values), out);
  else narrowBF16(bitsOf(values), out);
  return out;
}
