import type { Matrix } from "../linalg/matrix.ts";
import { cast, noGrad, sub, tidy } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdapterLayer, LowRankLayer } from "./adapter-layer.ts";

/** W' - W: [out, in]; null where it depends on a base that is not here. */
export function changeOf(layer: AdapterLayer, weight: Tensor | null): Tensor | null {
  if (!layer.needsBase) return layer.deltaWeight();
  if (!weight) return null;
  const base = cast(weight, { dtype: layer.parameters()[0].dtype });
  return sub(layer.merged(base, base, (x) => x), base);
}

/** `changeOf` in f64. */
export async function changeMatrix(layer: AdapterLayer, weight: Tensor | null): Promise<Matrix | null> {
  const change = noGrad(() => tidy(() => changeOf(layer, weight)));
  return change && taken(change);
}

/** The factors of an update in f64: up[out, r] and down[r, in]. */
export async function factorMatrices(layer: LowRankLayer): Promise<{ readonly up: Matrix; readonly down: Matrix }> {
  const [up, down] = noGrad(() =>
    tidy(() => {
      const factors = layer.factors();
      // Handles of their own: the factors may be the adapter's tensors.
      return [factors.up.detach(), factors.down.detach()];
    }),
  );
  return { up: await taken(up), down: await taken(down) };
}

/** A tensor of two axes as a matrix of f64. */
export async function matrixOf(tensor: Tensor): Promise<Matrix> {
  const [rows, columns] = tensor.shape;
  return { rows, columns, data: Float64Array.from(await tensor.data()) };
}

/** `matrixOf`, after which the tensor is disposed of. */
async function taken(tensor: Tensor): Promise<Matrix> {
  const matrix = await matrixOf(tensor);
  tensor.dispose();
  return matrix;
}
