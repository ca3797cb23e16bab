import { quote } from "./quote.ts";
import { SAFETENSORS_DTYPE_BITS, type SafetensorsDType } from "./safetensors-dtypes.ts";
import { SafetensorsError } from "./safetensors-error.ts";

const MAX_U64 = 2n ** 64n - 1n;

/**
 * Bytes of a tensor, by the reference's rule: no partial product of the size in bits, taken from left to
 * right, may pass 2⁶⁴ - 1, not even where a later dimension is 0; and the bits must fill whole bytes.
 */
export function tensorByteLength(tensor: string, dtype: SafetensorsDType, shape: readonly bigint[]): bigint {
  let bits = 1n;
  for (const size of [...shape, BigInt(SAFETENSORS_DTYPE_BITS[dtype])]) {
    bits *= size;
    if (bits > MAX_U64) {
      const why = `tensor ${quote(tensor)} (${dtype} [${shape}]) is larger than 64 bits can count`;
      throw new SafetensorsError("size-overflow", why, { tensor });
    }
  }
  if (bits % 8n !== 0n) {
    const why = `tensor ${quote(tensor)} (${dtype} [${shape}]) has ${bits} bits, no whole number of bytes`;
    throw new SafetensorsError("size-not-whole-bytes", why, { tensor });
  }
  return bits / 8n;
}
