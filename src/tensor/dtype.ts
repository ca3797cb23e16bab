import { PolargradError } from "./errors.ts";

/** 16-bit floats, to store alone. */
export type HalfFormat = "f16" | "bf16";

/**
 * Small integers in blocks of 32 elements that share an f16 scale d (the numbers of ggml's formats of the same names), to store
 * alone: `q8_0` is d·q with q from -127 to 127, `q4_0` d·(q - 8) and `q4_1` d·q + m with q from 0 to 15 and an f16 minimum m.
 */
export type BlockFormat = "q8_0" | "q4_0" | "q4_1";

/** Formats that frozen weights lie in. Ops decode them and compute in f32. */
export type StoredFormat = HalfFormat | BlockFormat;

/**
 * Element types. `f32` computes, `f64` checks (CPU only), `i32` holds ids, `bool` is the result of a comparison. The others are for
 * storage alone: such a tensor carries no gradient, and only operands that a declaration marks `|stored` take it.
 */
export type DType = "f32" | "f64" | "i32" | "bool" | StoredFormat;

/** The array that holds a tensor's elements on the CPU; `bool` is 0 or 1 in an `Int32Array`. */
export type TypedArray = Float32Array | Float64Array | Int32Array;

/**
 * The bits of a tensor in a stored format: one Uint16Array entry an element of f16 or bf16. In bytes for blocks: first the integers
 * of all of them (`q8_0`: signed bytes; else of each block 16 bytes, byte j with element j in its lower and j + 16 in its upper
 * half), then the f16 scales of all of them, each followed by its minimum in `q4_1`.
 */
export type PackedArray = Uint16Array | Uint8Array;

/** Elements of a block. */
export const BLOCK = 32;

/** Bytes of a block in memory. */
const BLOCK_BYTES: Readonly<Record<BlockFormat, number>> = { q8_0: 34, q4_0: 18, q4_1: 20 };

/** True for the dtypes that carry gradients. */
export const isFloat = (dtype: DType): boolean => dtype === "f32" || dtype === "f64";

/** True for the 16-bit floats. */
export const isHalf = (dtype: DType): dtype is HalfFormat => dtype === "f16" || dtype === "bf16";

/** True for the formats of blocks. */
export const isBlock = (dtype: DType): dtype is BlockFormat => Object.hasOwn(BLOCK_BYTES, dtype);

/** True for the formats that only store. */
export const isStored = (dtype: DType): dtype is StoredFormat => isHalf(dtype) || isBlock(dtype);

/** A zeroed array of `length` elements of `dtype`. @throws PolargradError where there is no room for it, and for a stored format */
export function allocate(dtype: DType, length: number): TypedArray {
  if (isStored(dtype)) throw new PolargradError(`nothing computes in ${dtype}; its elements are packed`);
  try {
    if (dtype === "f32") return new Float32Array(length);
    if (dtype === "f64") return new Float64Array(length);
    return new Int32Array(length);
  } catch (cause) {
    throw new PolargradError(`the CPU has no memory for ${length} elements of ${dtype}; use a smaller shape`, { cause });
  }
}

/** Bytes of one element, on average over a block. */
export function bytesPerElement(dtype: DType): number {
  if (isBlock(dtype)) return BLOCK_BYTES[dtype] / BLOCK;
  if (dtype === "f64") return 8;
  return isHalf(dtype) ? 2 : 4;
}
