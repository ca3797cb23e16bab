import type { Module } from "../nn/module.ts";
import type { Device } from "../tensor/storage.ts";
import { AdaptedLinear } from "./adapted-linear.ts";
import { AdapterError } from "./errors.ts";
import type { PeftConfig } from "./peft-config.ts";
import { SavedModule } from "./saved-module.ts";

/** A property of several parts: what all have, or "irregular" where they differ. */
export type Regular<T> = T | "irregular";

/** State of one module that has adapters (PEFT's `TunerLayerStatus`). */
export interface LayerStatus {
  /** Path in the model: `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  /** PEFT's class: `delora.DeloraLinear`, `ModulesToSaveWrapper`. */
  readonly moduleType: string;
  /** False inside of `disableAdapter`. */
  readonly enabled: boolean;
  readonly activeAdapters: readonly string[];
  /** Adapters whose update is in the weight now. */
  readonly mergedAdapters: readonly string[];
  /** By adapter: whether its parameters are trained. */
  readonly requiresGrad: Readonly<Record<string, Regular<boolean>>>;
  /** Sorted. */
  readonly availableAdapters: readonly string[];
  /** By adapter: where its tensors are. */
  readonly devices: Readonly<Record<string, readonly Device[]>>;
}

/** State of all adapters of a model (PEFT's `TunerModelStatus`). */
export interface ModelStatus {
  /** Class of the base: `LlamaForCausalLM`. */
  readonly baseModelType: string;
  /** PEFT's class: `DeloraModel`. */
  readonly adapterModelType: string;
  /** By adapter: `DELORA`, `LORA`. */
  readonly peftTypes: Readonly<Record<string, string>>;
  readonly trainableParams: number;
  readonly totalParams: number;
  readonly numAdapterLayers: number;
  readonly enabled: Regular<boolean>;
  readonly activeAdapters: Regular<readonly string[]>;
  /** Sorted. "irregular": an adapter is merged in one module and not in another that has it. */
  readonly mergedAdapters: Regular<readonly string[]>;
  readonly requiresGrad: Readonly<Record<string, Regular<boolean>>>;
  readonly availableAdapters: readonly string[];
  readonly devices: Readonly<Record<string, readonly Device[]>>;
}

/** State of every module with adapters, in the model's order. @throws AdapterError when there is none */
export function layerStatus(model: Module, moduleType: string): LayerStatus[] {
  const found = model.namedModules().flatMap(([name, module]) => {
    if (module instanceof AdaptedLinear) {
      const { activeAdapters, mergedAdapters, adapters, enabled } = module;
      return [{ name, moduleType, enabled, activeAdapters, mergedAdapters, ...ofAdapters(adapters) }];
    }
    if (module instanceof SavedModule) {
      const { activeAdapter, modulesToSave, enabled } = module;
      const activeAdapters = activeAdapter === null ? [] : [activeAdapter];
      const own = { name, moduleType: "ModulesToSaveWrapper", enabled, activeAdapters, mergedAdapters: [] };
      return [{ ...own, ...ofAdapters(modulesToSave) }];
    }
    return [];
  });
  if (found.length > 0) return found;
  const advice = "please ensure that it's a PEFT model or that you have PEFT adapters injected in the model.";
  throw new AdapterError("", `No adapter layers found in the model, ${advice}`);
}

/** State of the model as a whole. @throws AdapterError when it has no adapters */
export function modelStatus(model: Module, configs: ReadonlyMap<string, PeftConfig>): ModelStatus {
  const [first] = configs.values();
  const layers = layerStatus(model, first?.schema.moduleType ?? "");
  const byAdapter = <T, U>(pick: (layer: LayerStatus) => Readonly<Record<string, T>>, sum: (values: T[]) => U) => {
    const names = [...new Set(layers.flatMap((layer) => Object.keys(pick(layer))))];
    const valuesOf = (name: string): T[] =>
      layers.flatMap((layer) => (Object.hasOwn(pick(layer), name) ? [pick(layer)[name]] : []));
    return Object.fromEntries(names.map((name) => [name, sum(valuesOf(name))]));
  };
  const merged = [...new Set(layers.flatMap(({ mergedAdapters }) => mergedAdapters))].sort();
  const isPartly = layers.some(({ availableAdapters, mergedAdapters }) =>
    merged.some((name) => availableAdapters.includes(name) && !mergedAdapters.includes(name)),
  );
  return {
    baseModelType: model.constructor.name,
    adapterModelType: first?.schema.modelType ?? "None",
    peftTypes: Object.fromEntries([...configs].map(([name, { peftType }]) => [name, peftType])),
    trainableParams: model.numParameters({ onlyTrainable: true }),
    totalParams: model.numParameters(),
    numAdapterLayers: layers.length,
    enabled: regular(layers.map(({ enabled }) => enabled)),
    activeAdapters: regular(layers.map(({ activeAdapters }) => activeAdapters)),
    mergedAdapters: isPartly ? "irregular" : merged,
    requiresGrad: byAdapter(({ requiresGrad }) => requiresGrad, regular),
    availableAdapters: [...new Set(layers.flatMap(({ availableAdapters }) => availableAdapters))].sort(),
    devices: byAdapter(({ devices }) => devices, (values) => [...new Set(values.flat())].sort()),
  };
}

type AdapterParts = Pick<LayerStatus, "requiresGrad" | "availableAdapters" | "devices">;

function ofAdapters(parts: ReadonlyMap<string, Module>): AdapterParts {
  const each = <T>(f: (module: Module) => T): Record<string, T> =>
    Object.fromEntries([...parts].map(([name, module]) => [name, f(module)]));
  return {
    requiresGrad: each((module) => regular(module.parameters().map(({ requiresGrad }) => requiresGrad))),
    availableAdapters: [...parts.keys()].sort(),
    devices: each((module) => [...new Set([...module.stateDict().values()].map(({ device }) => device))].sort()),
  };
}

/** What all values are; "irregular" where they differ. */
function regular<T>(values: readonly T[]): Regular<T> {
  const texts = new Set(values.map((value) => JSON.stringify(value)));
  return texts.size === 1 ? values[0] : "irregular";
}
