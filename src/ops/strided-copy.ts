import type { TypedArray } from "../tensor/dtype.ts";

/** Fill row-major `out` of `sizes` (none of them 0) with the elements of `from` at `Σ indexₐ · stridesₐ`. */
export function copyStrided(
  from: TypedArray,
  out: TypedArray,
  sizes: readonly number[],
  strides: readonly number[],
): void {
  const last = sizes.length - 1;
  const width = last < 0 ? 1 : sizes[last];
  const step = last < 0 ? 1 : strides[last];
  const index = new Int32Array(sizes.length);
  let base = 0;
  for (let row = 0; row < out.length; row += width) {
    for (let j = 0, at = base; j < width; j++, at += step) out[row + j] = from[at];
    for (let axis = last - 1; axis >= 0; axis--) {
      base += strides[axis];
      if (++index[axis] < sizes[axis]) break;
      base -= strides[axis] * sizes[axis];
      index[axis] = 0;
    }
  }
}
