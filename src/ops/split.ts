import { ArgumentError } from "../tensor/errors.ts";
import { resolveAxis } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AxisOption } from "./concat.ts";
import { slice } from "./slice.ts";

/**
 * Cut a tensor along an axis.
 *
 * @param sizes the size of each part; or one size for all, of which the last part may have less
 * @throws ArgumentError when the sizes do not add up to the axis
 */
export function split(x: Tensor, sizes: number | readonly number[], { axis = 0 }: AxisOption = {}): Tensor[] {
  const at = resolveAxis(axis, x.rank);
  if (at === null) throw new ArgumentError("split", "axis", `from ${-x.rank} to ${x.rank - 1}`, String(axis));
  const parts = typeof sizes === "number" ? equalParts(x.shape[at], sizes) : sizes;
  const total = parts.reduce((sum, size) => sum + size, 0);
  if (total !== x.shape[at] || parts.some((size) => !Number.isInteger(size) || size < 0)) {
    throw new ArgumentError(
      "split",
      "sizes",
      `integers that add up to ${x.shape[at]}, the size of axis ${axis}`,
      `[${parts.join(", ")}] (${total})`,
    );
  }
  let start = 0;
  return parts.map((size) => {
    start += size;
    return slice(x, { axis: at, start: start - size, end: start });
  });
}

function equalParts(length: number, size: number): number[] {
  if (!Number.isInteger(size) || size < 1)
    throw new ArgumentError("split", "sizes", "an integer from 1 on, or a list", String(size));
  return Array.from({ length: Math.max(1, Math.ceil(length / size)) }, (_, k) =>
    Math.min(size, length - k * size),
  );
}
