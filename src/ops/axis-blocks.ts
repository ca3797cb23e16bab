import { resolveAxis, type Shape, sizeOf } from "../tensor/shape.ts";

/** A shape seen from one axis: `outer` blocks of `size` rows of `inner` elements. */
export interface AxisBlocks {
  readonly axis: number;
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

/** How `shape` looks from `axis`, which may be negative. Calls `fail` for an axis out of range. */
export function axisBlocks(shape: Shape, axis: number, fail: (why: string) => never): AxisBlocks {
  const at = resolveAxis(axis, shape.length) ?? fail(`axis ${axis} is out of range for ${shape.length} axes`);
  return { axis: at, outer: sizeOf(shape.slice(0, at)), size: shape[at], inner: sizeOf(shape.slice(at + 1)) };
}

/** The `fail` of a caller that has checked its axis before. */
export const checkedAxis = (): never => {
  throw new RangeError("axis out of range");
};
