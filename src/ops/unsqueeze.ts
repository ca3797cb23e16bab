import { ArgumentError } from "../tensor/errors.ts";
import { resolveAxis } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { reshape } from "./reshape.ts";

function axisOf(op: string, axis: number, rank: number): number {
  const at = resolveAxis(axis, rank);
  if (at !== null) return at;
  throw new ArgumentError(
    op,
    "axis",
    rank > 0 ? `from ${-rank} to ${rank - 1}` : "absent for a scalar",
    String(axis),
  );
}

/**
 * Insert an axis of size 1. Shares memory with `x`.
 *
 * @param options position of the new axis in the result; negative counts from its end
 */
export function unsqueeze(x: Tensor, { axis }: { readonly axis: number }): Tensor {
  return reshape(x, { shape: x.shape.toSpliced(axisOf("unsqueeze", axis, x.rank + 1), 0, 1) });
}

/**
 * Drop axes of size 1: the given one, or all. A given axis of another size stays, as in PyTorch. Shares
 * memory with `x`.
 */
export function squeeze(x: Tensor, { axis }: { readonly axis?: number } = {}): Tensor {
  const only = axis === undefined ? null : axisOf("squeeze", axis, x.rank);
  return reshape(x, { shape: x.shape.filter((d, k) => d !== 1 || (only !== null && k !== only)) });
}
