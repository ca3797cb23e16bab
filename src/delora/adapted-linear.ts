import type { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { add, tidy } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdapterLayer } from "./adapter-layer.ts";
import { AdapterError } from "./errors.ts";

const ADAPTERS = "adapters";

/**
 * A frozen Linear with adapters on it, in the Linear's place in a model. The outputs of all active adapters
 * add up.
 */
export class AdaptedLinear extends Module {
  readonly baseLayer: Linear;
  /** By name. */
  readonly adapters = new Map<string, AdapterLayer>();
  /** Names of the adapters that take part; those that this layer lacks are passed over. */
  activeAdapters: readonly string[] = [];

  constructor(baseLayer: Linear) {
    super();
    this.baseLayer = baseLayer;
    this.training = baseLayer.training;
  }

  /** x[*, in] -> y[*, out] */
  forward(x: Tensor): Tensor {
    return this.activeLayers().reduce((y, adapter) => add(y, adapter.forward(x)), this.baseLayer.forward(x));
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

  /** The sum of the active adapters' updates: [out, in]; null without any. */
  deltaWeight(): Tensor | null {
    return tidy(() => {
      const [first, ...others] = this.activeLayers().map((adapter) => adapter.deltaWeight());
      return others.reduce<Tensor | undefined>((sum, delta) => sum && add(sum, delta), first) ?? null;
    });
  }

  protected override tensorName(member: string, inner: string): string {
    if (!member.startsWith(`${ADAPTERS}.`)) return super.tensorName(member, inner);
    return withAdapterName(inner, member.slice(ADAPTERS.length + 1));
  }
}

/**
 * PEFT puts an adapter's name behind the first part of a tensor's: `lora_A.weight` is
 * `lora_A.default.weight`.
 */
export function withAdapterName(tensorName: string, adapterName: string): string {
  const [first, ...rest] = tensorName.split(".");
  return [first, adapterName, ...rest].join(".");
}
