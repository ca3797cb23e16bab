import { LlamaForCausalLM } from "../nn/llama-for-causal-lm.ts";
import type { Module } from "../nn/module.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { withAdapterName } from "./adapted-linear.ts";
import { adaptedLinears, type AdapterPlan, savedModules } from "./inject.ts";
import type { PeftConfig } from "./peft-config.ts";
import { compilePattern } from "./regex/index.ts";

/** What PEFT puts before a tensor's path in the model. */
export const PREFIX = "base_model.model.";

/** The embeddings of a Llama, by their paths and by PEFT's names. */
const EMBEDDINGS = new Map([
  ["model.embed_tokens", "embed_tokens"],
  ["lm_head", "lm_head"],
]);

/** A place in the model for a tensor of an adapter's file. */
export interface FilePlace {
  /** Name in the file: `base_model.model.lm_head.delora_A`. */
  readonly key: string;
  /** Name in the model, with the adapter's. */
  readonly name: string;
  /** The module whose state holds it, and its name there. */
  readonly module: Module;
  readonly stateName: string;
  /** False: the base has it already, and its absence from the file means nothing. */
  readonly isAdapters: boolean;
}

/**
 * Where the tensors of an adapter's file go: its layers and copies, the biases that it trains, and the embeddings of
 * the base that it may bring along.
 *
 * @param plan a new adapter that is not in the model yet
 */
export function filePlaces(model: Module, name: string, { config, layers, copies }: AdapterPlan): FilePlace[] {
  const own = layers.flatMap(({ path, layer }) =>
    [...layer.stateDict().keys()].map((stateName) => ({
      key: `${PREFIX}${path}.${layer.fileName(stateName)}`,
      name: `${PREFIX}${path}.${withAdapterName(stateName, name)}`,
      module: layer,
      stateName,
      isAdapters: true,
    })),
  );
  const copied = copies.flatMap(({ path, copy }) =>
    [...copy.stateDict().keys()].map((stateName) => ({
      key: `${PREFIX}${path}.${stateName}`,
      name: `${PREFIX}${path}.modules_to_save.${name}.${stateName}`,
      module: copy,
      stateName,
      isAdapters: true,
    })),
  );
  const taken = new Set([...own, ...copied].map(({ key }) => key));
  const planned = layers.map(({ path }) => `${path}.`);
  const base = [...model.stateDict().keys()].flatMap((stateName) => {
    const prefix = planned.find((path) => stateName.startsWith(path));
    const isWrapped = prefix !== undefined && stateName.startsWith(`${prefix}base_layer.`);
    const inFile = prefix && !isWrapped ? stateName.replace(prefix, `${prefix}base_layer.`) : stateName;
    const key = PREFIX + inFile;
    const isWanted = isTrainedBias(config, stateName, prefix !== undefined) || isEmbedding(model, stateName);
    return isWanted && !taken.has(key) ? [{ key, name: key, module: model, stateName, isAdapters: false }] : [];
  });
  return [...own, ...copied, ...base];
}

/** The layers and copies that an adapter has in a model, as a plan. */
export function plannedFrom(model: Module, name: string, config: PeftConfig): AdapterPlan {
  const layers = adaptedLinears(model).flatMap(([path, { adapters }]) => {
    const layer = adapters.get(name);
    return layer ? [{ path, layer }] : [];
  });
  const copies = savedModules(model).flatMap(([path, { modulesToSave }]) => {
    const copy = modulesToSave.get(name);
    return copy ? [{ path, copy }] : [];
  });
  return { config, layers, copies };
}

/**
 * The tensors of an adapter's file by their names in it, in the model's order. The caller disposes of those that
 * are not the model's own.
 *
 * @param withEmbeddings the base's embeddings too: those with adapters, else both
 */
export function fileTensors(
  model: Module,
  { config, layers, copies }: AdapterPlan,
  withEmbeddings: boolean,
): Map<string, Tensor> {
  const result = new Map<string, Tensor>();
  for (const { path, layer } of layers)
    for (const [key, tensor] of layer.exported()) result.set(`${PREFIX}${path}.${key}`, tensor);
  const adapted = layers.map(({ path }) => `${path}.base_layer.`);
  const embeddings = embeddingPrefixes(model, config);
  for (const [name, tensor] of model.stateDict()) {
    const isAdapted = adapted.some((path) => name.startsWith(path));
    const isBrought = withEmbeddings && embeddings.some((prefix) => name.startsWith(prefix));
    if (isBrought || isTrainedBias(config, name, isAdapted)) result.set(PREFIX + name, tensor);
  }
  for (const { path, copy } of copies)
    for (const [key, tensor] of copy.stateDict()) result.set(`${PREFIX}${path}.${key}`, tensor);
  return result;
}

/** Whether a config adapts the embedding or the head of a Llama: then PEFT saves their weights as well. */
export function targetsEmbedding(model: Module, { targetModules }: PeftConfig): boolean {
  if (typeof targetModules !== "string")
    return [...EMBEDDINGS.values()].some((name) => targetModules?.includes(name));
  const pattern = compilePattern(targetModules);
  return model instanceof LlamaForCausalLM && [...EMBEDDINGS.keys()].some((path) => pattern.fullmatch(path));
}

/** What names of the base's embeddings begin with: of those with adapters, or of all where none is meant to have one. */
function embeddingPrefixes(model: Module, config: PeftConfig): string[] {
  const isTargeted = targetsEmbedding(model, config);
  const paths = model instanceof LlamaForCausalLM ? [...EMBEDDINGS.keys()] : [];
  return paths.map((path) => (isTargeted ? `${path}.base_layer.` : `${path}.`));
}

const isEmbedding = (model: Module, name: string): boolean =>
  model instanceof LlamaForCausalLM &&
  [...EMBEDDINGS.keys()].some((path) => name === `${path}.weight` || name === `${path}.base_layer.weight`);

/** Whether a config trains the tensor of this name as a bias. */
const isTrainedBias = ({ bias }: PeftConfig, name: string, isAdapted: boolean): boolean =>
  bias !== "none" && name.endsWith(".bias") && !name.includes(".modules_to_save.") && (bias === "all" || isAdapted);
