import { div, noGrad, norm, sub, tidy } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { PlannedLayer } from "./inject.ts";

/** How far a stored tensor may be from what the base weight says, relative: more is another base. */
const MOST_DRIFT = 1e-3;

/** What layers took from the weights of a base, to be compared after loading. */
export type BaseTensors = ReadonlyMap<PlannedLayer, Tensor>;

/** Handles on what the layers took from the base. The caller passes them to `foreignLayers`. */
export function baseTensors(layers: readonly PlannedLayer[]): BaseTensors {
  return new Map(
    layers.flatMap((planned) => {
      const tensor = planned.layer.ofBase();
      return tensor ? [[planned, tensor.detach()]] : [];
    }),
  );
}

/** Paths of the layers whose loaded values are not those of this base. Disposes of `before`. */
export async function foreignLayers(before: BaseTensors): Promise<string[]> {
  const drifts = [...before].map(([{ path, layer }, fresh]) => {
    const stored = layer.ofBase() ?? fresh;
    const drift = noGrad(() => tidy(() => div(norm(sub(stored, fresh)), norm(fresh))));
    fresh.dispose();
    return { path, drift };
  });
  const found: string[] = [];
  for (const { path, drift } of drifts) {
    if (!((await drift.item()) <= MOST_DRIFT)) found.push(path);
    drift.dispose();
  }
  return found;
}
