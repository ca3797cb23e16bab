import { PolargradError } from "./errors.ts";

/** Formats that frozen weights lie in: half the bytes of f32. Ops decode them and compute in f32. */
export type StoredFormat = "f16" | "bf16";

/**
 * Element types. `f32` computes, `f64` checks (CPU only), `i32` holds ids, `bool` is the result of a comparison. `f16` and `bf16`
 * are for storage alone: such a tensor carries no gradient, and only operands that a declaration marks `|stored` take it.
 */
export type DType = "f32" | "f64" | "i32" | "bool" | StoredFormat;

/** The array that holds a tensor's elements on the CPU; `bool` is 0 or 1 in an `Int32Array`. */
export type TypedArray = Float32Array | Float64Array | Int32Array;

/** The bits of a tensor in a stored format: one entry an element. */
export type PackedArray = Uint16Array;

const STORED: readonly DType[] = ["f16", "bf16"] satisfies readonly StoredFormat[];

/** True for the dtypes that carry gradients. */
export const isFloat = (dtype: DType): boolean => dtype === "f32" || dtype === "f64";

/** True for the formats that only store. */
export const isStored = (dtype: DType): dtype is StoredFormat => STORED.includes(dtype);

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

/** Bytes of one element. */
export function bytesPerElement(dtype: DType): number {
  if (dtype === "f64") return 8;
  return isStored(dtype) ? 2 : 4;
}
