import type { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { add, linear } from "../ops/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdapterLayer } from "./adapter-layer.ts";
import { AdapterError } from "./errors.ts";

const ADAPTERS = "adapters";

/**
 * A frozen Linear with adapters on it, in the Linear's place in a model. The outputs of all active adapters
 * add up.
 */
export class AdaptedLinear extends Module {
  static override readonly transient = ["baseWeight"];

  readonly baseLayer: Linear;
  /** By name. */
  readonly adapters = new Map<string, AdapterLayer>();
  /** Names of the adapters that take part; those that this layer lacks are passed over. */
  activeAdapters: readonly string[] = [];
  /** Names of the adapters whose updates are in the Linear's weight now, in the order of merging. */
  mergedAdapters: readonly string[] = [];
  /** The Linear's own weight [out, in] while adapters are merged into it: unmerging puts it back. */
  baseWeight: Parameter | null = null;
  /** False: the Linear answers alone, as if no adapter was there. */
  enabled = true;

  constructor(baseLayer: Linear) {
    super();
    this.baseLayer = baseLayer;
    this.training = baseLayer.training;
  }

  /** x[*, in] -> y[*, out] */
  forward(x: Tensor): Tensor {
    const { baseLayer } = this;
    if (!this.enabled && this.baseWeight) return biased(linear(x, this.baseWeight), baseLayer.bias);
    let y = baseLayer.forward(x);
    if (!this.enabled || this.baseWeight) return y;
    for (const adapter of this.activeLayers()) y = add(y, adapter.forward(x, { linear: baseLayer, y }));
    return y;
  }

  /** The layers of the active adapters. */
  activeLayers(): AdapterLayer[] {
    return this.activeAdapters.flatMap((name) => this.adapters.get(name) ?? []);
  }

  /** The layer of an adapter. @throws AdapterError when it is not here */
  adapter(name: string): AdapterLayer {
    const layer = this.adapters.get(name);
    if (layer) return layer;
    throw new AdapterError(
      name,
      `Adapter ${name} not found. This layer has: ${[...this.adapters.keys()].join(", ") || "none"}.`,
    );
  }

  /** PEFT's `get_delta_weight`: what an adapter adds to the weight, [out, in]. @throws AdapterError when it is not here */
  getDeltaWeight(name: string): Tensor {
    return this.adapter(name).deltaWeight();
  }

  /** The Linear's weight without any adapter: [out, in]. */
  get unmergedWeight(): Parameter {
    return this.baseWeight ?? this.baseLayer.weight;
  }

  override tensorName(member: string, inner: string): string {
    if (!member.startsWith(`${ADAPTERS}.`)) return super.tensorName(member, inner);
    return withAdapterName(inner, member.slice(ADAPTERS.length + 1));
  }
}

const biased = (y: Tensor, bias: Parameter | null): Tensor => (bias ? add(y, bias) : y);

/**
 * PEFT puts an adapter's name behind the first part of a tensor's: `lora_A.weight` is
 * `lora_A.default.weight`.
 */
export function withAdapterName(tensorName: string, adapterName: string): string {
  const [first, ...rest] = tensorName.split(".");
  return [first, adapterName, ...rest].join(".");
}
