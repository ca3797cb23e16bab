import type { Module } from "../nn/module.ts";
import { cast, isFinite as finiteElements, min, noGrad, tidy } from "../ops/index.ts";
import { isHalf, isStored } from "../tensor/dtype.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { roundingOf } from "./adapter-layer.ts";
import type { AdaptedLinear } from "./adapted-linear.ts";
import type { WarningHandler } from "./config-json.ts";
import { AdapterError } from "./errors.ts";
import { adaptedLinears, savedModules } from "./inject.ts";

/** Add adapters' updates to the weights of their Linears, in the order of `names`, beside those merged before. */
export function mergeLayers(model: Module, names: readonly string[]): void {
  for (const [, adapted] of adaptedLinears(model)) {
    const added = addedTo(adapted, names);
    if (added.length === 0) continue;
    const merged = noGrad(() => mergedWeight(adapted, added));
    const { baseLayer } = adapted;
    if (adapted.baseWeight) baseLayer.weight.dispose();
    else adapted.baseWeight = baseLayer.weight;
    baseLayer.weight = new Parameter(merged, { requiresGrad: false });
    merged.dispose();
    adapted.mergedAdapters = [...adapted.mergedAdapters, ...added];
  }
}

/** Put every Linear's own weight back: the very same one, bit for bit. False when nothing was merged. */
export function unmergeLayers(model: Module): boolean {
  let isChanged = false;
  for (const [, adapted] of adaptedLinears(model)) {
    if (!adapted.baseWeight) continue;
    adapted.baseLayer.weight.dispose();
    adapted.baseLayer.weight = adapted.baseWeight;
    adapted.baseWeight = null;
    adapted.mergedAdapters = [];
    isChanged = true;
  }
  return isChanged;
}

/** Refuse adapters whose merged weights would not be finite. @throws AdapterError */
export async function refuseBrokenMerge(model: Module, names: readonly string[]): Promise<void> {
  for (const [path, adapted] of adaptedLinears(model)) {
    const added = addedTo(adapted, names);
    for (let count = 1; count <= added.length; count++) {
      const finite = noGrad(() =>
        tidy(() => min(cast(finiteElements(decoded(mergedWeight(adapted, added.slice(0, count)))), { dtype: "f32" }))),
      );
      const isBroken = (await finite.item()) === 0;
      finite.dispose();
      if (!isBroken) continue;
      const name = added[count - 1];
      const where = `first in ${path}; nothing was merged`;
      throw new AdapterError(
        name,
        `NaNs detected in the merged weights. The adapter ${name} seems to be broken (${where})`,
      );
    }
  }
}

/**
 * The names that are not merged yet in every layer that has them, with PEFT's warnings about the others.
 */
export function unmergedNames(model: Module, names: readonly string[], warn: WarningHandler): readonly string[] {
  const layers = adaptedLinears(model).map(([, adapted]) => adapted);
  const merged = new Set(layers.flatMap(({ mergedAdapters }) => mergedAdapters));
  if (merged.size === 0) return names;
  const isOpen = (name: string): boolean => layers.some((adapted) => addedTo(adapted, [name]).length > 0);
  const added = names.filter(isOpen);
  if (added.length === 0) warn("All adapters are already merged, nothing to do.");
  else {
    const before = [...merged].join(",");
    warn(`Already following adapters were merged ${before}. You are now additionally merging ${added.join(",")}.`);
  }
  return added;
}

/** Put the Linears back in their places, as they are now, and the active copies of what was saved in full. */
export function removeLayers(model: Module): void {
  for (const [path, adapted] of adaptedLinears(model)) {
    adapted.baseLayer.train(adapted.training);
    model.setSubmodule(path, adapted.baseLayer);
  }
  for (const [path, saved] of savedModules(model)) model.setSubmodule(path, saved.current.train(saved.training));
}

/** Those of the names that this layer has and that are not merged into it. */
const addedTo = ({ adapters, mergedAdapters }: AdaptedLinear, names: readonly string[]): string[] =>
  names.filter((name) => adapters.has(name) && !mergedAdapters.includes(name));

/**
 * The Linear's weight now, with more adapters in it: [out, in]. An f16 or bf16 weight is rounded to its format after
 * each adapter, as PEFT rounds it; a weight in another stored format becomes f32.
 */
function mergedWeight(adapted: AdaptedLinear, names: readonly string[]): Tensor {
  const { dtype } = adapted.unmergedWeight;
  const round = roundingOf(adapted.unmergedWeight);
  return tidy(() => {
    const [base, start] = [adapted.unmergedWeight, adapted.baseLayer.weight].map(decoded);
    const merged = names.reduce<Tensor>((weight, name) => round(adapted.adapter(name).merged(weight, base, round)), start);
    return isHalf(dtype) ? cast(merged, { dtype }) : merged;
  });
}

const decoded = (weight: Tensor): Tensor => (isStored(weight.dtype) ? cast(weight, { dtype: "f32" }) : weight);
