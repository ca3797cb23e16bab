/** Offset of element `i` of a row-major index space of `sizes`, read through `strides`. */
export function stridedOffset(i: number, sizes: readonly number[], strides: readonly number[]): number {
  let rest = i;
  let at = 0;
  for (let axis = sizes.length - 1; axis >= 0; axis--) {
    at += (rest % sizes[axis]) * strides[axis];
    rest = Math.floor(rest / sizes[axis]);
  }
  return at;
}
