import { PolargradError } from "./errors.ts";

/** Element types. `f32` computes, `f64` checks (CPU only), `i32` holds ids, `bool` is the result of a comparison. */
export type DType = "f32" | "f64" | "i32" | "bool";

/** The array that holds a tensor's elements on the CPU; `bool` is 0 or 1 in an `Int32Array`. */
export type TypedArray = Float32Array | Float64Array | Int32Array;

/** True for the dtypes that carry gradients. */
export const isFloat = (dtype: DType): boolean => dtype === "f32" || dtype === "f64";

/** A zeroed array of `length` elements of `dtype`. @throws PolargradError where there is no room for it */
export function allocate(dtype: DType, length: number): TypedArray {
  try {
    if (dtype === "f32") return new Float32Array(length);
    if (dtype === "f64") return new Float64Array(length);
    return new Int32Array(length);
  } catch (cause) {
    throw new PolargradError(`the CPU has no memory for ${length} elements of ${dtype}; use a smaller shape`, { cause });
  }
}

/** Bytes of one element. */
export const bytesPerElement = (dtype: DType): number => (dtype === "f64" ? 8 : 4);
