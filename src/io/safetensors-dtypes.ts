/**
 * Bits of one element of every dtype of the format, in the order in which the reference (safetensors 0.8.0)
 * lays tensors out: wider alignment first, so that no tensor of a well-formed file is misaligned.
 */
export const SAFETENSORS_DTYPE_BITS = {
  U64: 64,
  I64: 64,
  F64: 64,
  C64: 64,
  F32: 32,
  U32: 32,
  I32: 32,
  BF16: 16,
  F16: 16,
  U16: 16,
  I16: 16,
  F8_E5M2FNUZ: 8,
  F8_E4M3FNUZ: 8,
  F8_E8M0: 8,
  F8_E4M3: 8,
  F8_E5M2: 8,
  I8: 8,
  U8: 8,
  F6_E3M2: 6,
  F6_E2M3: 6,
  F4: 4,
  BOOL: 8,
} as const;

/** An element type in the format's own spelling. */
export type SafetensorsDType = keyof typeof SAFETENSORS_DTYPE_BITS;

/** True if `name` is spelled exactly as one of the format's dtypes. */
export function isSafetensorsDType(name: string): name is SafetensorsDType {
  return Object.hasOwn(SAFETENSORS_DTYPE_BITS, name);
}

const RANKS = new Map(Object.keys(SAFETENSORS_DTYPE_BITS).map((dtype, rank) => [dtype, rank]));

/** Position of `dtype` in a file: tensors of a lower rank come first. */
export function dtypeRank(dtype: SafetensorsDType): number {
  return RANKS.get(dtype) ?? RANKS.size;
}
