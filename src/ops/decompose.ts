import { alias, enableGrad, isGradEnabled, sweep, trackNew } from "../autograd/index.ts";
import { GraphError } from "../tensor/errors.ts";
import type { OpSpec } from "../tensor/op-spec.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Cotangents of an op without a vjp: the sweep through the smaller ops that it is made of. */
export function throughDecompose(
  spec: OpSpec,
  inputs: readonly Tensor[],
  attrs: Readonly<Record<string, unknown>>,
  dy: Tensor,
  needed: readonly boolean[],
): (Tensor | null)[] {
  const { decompose } = spec;
  if (!decompose) throw new GraphError(`${spec.name}: it has no gradient; its declaration has neither vjp nor decompose`);
  const createGraph = isGradEnabled();
  // A tensor of its own for each input, also when the same one was passed twice.
  const own = inputs.map((input, i) => (createGraph ? alias(input) : asLeaf(input, needed[i])));
  const named = Object.fromEntries(spec.signature.inputs.map(({ name }, i) => [name, own[i]]));
  const y = enableGrad(() => decompose(named, attrs));
  const wrt = own.filter((_, i) => needed[i]);
  const cotangents = sweep(y, dy, { wrt, stopAtTargets: true, retainGraph: createGraph, createGraph });
  trackNew(cotangents.values(), dy);
  return own.map((input) => cotangents.get(input) ?? null);
}

/** The same elements outside any graph. */
function asLeaf(input: Tensor, requiresGrad: boolean): Tensor {
  const leaf = input.detach();
  leaf.requiresGrad = requiresGrad;
  return leaf;
}
