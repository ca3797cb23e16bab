import type { Module } from "../nn/module.ts";
import { add, noGrad, tidy } from "../ops/index.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdaptedLinear } from "./adapted-linear.ts";
import { adaptedLinears } from "./inject.ts";

/** Add the active adapters' updates to the weights of the Linears, and put these back in their places. */
export function mergeLayers(model: Module): void {
  const uses = new Map<Tensor, number>();
  for (const tensor of model.stateDict().values()) uses.set(tensor, (uses.get(tensor) ?? 0) + 1);
  for (const [, adapted] of adaptedLinears(model)) {
    const { baseLayer } = adapted;
    const merged = noGrad(() => mergedWeight(adapted));
    if (!merged) continue;
    // A weight that another module shares (tied embeddings) stays as it is there.
    if (uses.get(baseLayer.weight) === 1) baseLayer.weight.assign(merged);
    else baseLayer.weight = new Parameter(merged, { requiresGrad: false });
    merged.dispose();
  }
  removeLayers(model);
}

/** W + ΔW: [out, in]; null without active adapters. */
function mergedWeight(adapted: AdaptedLinear): Tensor | null {
  return tidy(() => {
    const delta = adapted.deltaWeight();
    return delta && add(adapted.baseLayer.weight, delta);
  });
}

/** Put the Linears back in their places as they were. */
export function removeLayers(model: Module): void {
  for (const [path, adapted] of adaptedLinears(model)) {
    adapted.baseLayer.train(adapted.training);
    model.setSubmodule(path, adapted.baseLayer);
  }
}
