import { noGrad, tidy } from "../autograd/index.ts";
import { fromArray } from "../ops/device.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { largestTerm } from "./compare.ts";

/** A function of f64 CPU tensors whose values are compared. */
export type TensorFunction = (inputs: readonly Tensor[]) => readonly Tensor[];

/** A directional derivative of ⟨f, u⟩ and the size of the largest term in it. */
export interface Slope {
  readonly value: number;
  readonly scale: number;
}

/**
 * Central difference of ⟨f, u⟩ at `inputs` as input `moved` goes along `v`.
 *
 * @param step distance to either side
 */
export function slopeAlong(
  f: TensorFunction,
  inputs: readonly Tensor[],
  u: readonly Float64Array[],
  moved: number,
  v: Float64Array,
  step: number,
): Slope {
  const at = (side: number): Float64Array[] =>
    tidy(() =>
      f(inputs.map((input, k) => (k === moved ? displaced(input, v, side * step) : input))).map((y) =>
        Float64Array.from(y.dataSync()),
      ),
    );
  const above = at(1);
  const below = at(-1);
  let value = 0;
  let scale = largestTerm(...above);
  for (const [k, values] of above.entries()) {
    for (const [i, y] of values.entries()) {
      const term = (u[k][i] * (y - below[k][i])) / (2 * step);
      value += term;
      if (Math.abs(term) > scale) scale = Math.abs(term);
    }
  }
  return { value, scale };
}

function displaced(input: Tensor, v: Float64Array, step: number): Tensor {
  const values = Float64Array.from(input.dataSync(), (x, i) => x + step * v[i]);
  const moved = noGrad(() => fromArray(values, input.shape, "f64", "cpu"));
  moved.requiresGrad = input.requiresGrad;
  return moved;
}
