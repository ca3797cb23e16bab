import { concat } from "../ops/index.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Keys and values of all positions so far, each [batch, time, keyValueHeads, headDim]. */
export interface KeysValues {
  readonly k: Tensor;
  readonly v: Tensor;
}

/**
 * What attention needs to remember of earlier positions, layer by layer, so that generation computes each
 * position once.
 */
export class KvCache {
  readonly #layers: KeysValues[] = [];

  /** Positions that are cached. */
  get length(): number {
    return this.#layers[0]?.k.shape[1] ?? 0;
  }

  /**
   * Add the keys and values of new positions to a layer. Returns all of the layer's, which belong to the
   * cache.
   */
  append(layer: number, { k, v }: KeysValues): KeysValues {
    const old = this.#layers.at(layer);
    const all = old
      ? { k: keep(concat([old.k, k], { axis: 1 })), v: keep(concat([old.v, v], { axis: 1 })) }
      : { k: keep(k.detach()), v: keep(v.detach()) };
    this.#layers[layer] = all;
    old?.k.dispose();
    old?.v.dispose();
    return all;
  }

  /** Free the tensors; the cache is empty after it. */
  dispose(): void {
    for (const { k, v } of this.#layers.splice(0)) {
      k.dispose();
      v.dispose();
    }
  }
}
