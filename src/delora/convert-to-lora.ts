import { type SafetensorsInput, serializeSafetensors, writeDirectoryFiles } from "../io/index.ts";
import type { Matrix } from "../linalg/matrix.ts";
import { savedTensor } from "../nn/llama-weights.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { WEIGHTS_FILE } from "./adapter-files.ts";
import type { AdapterLayer } from "./adapter-layer.ts";
import { plannedFrom, PREFIX } from "./adapter-tensors.ts";
import { CONFIG_FILE } from "./config-json.ts";
import { AdapterConfigError, AdapterError } from "./errors.ts";
import { adaptedLinears } from "./inject.ts";
import { LoraConfig } from "./lora.ts";
import { checkLoraSize, layerToLora, type LoraSize } from "./lora-conversion.ts";
import { CARD_FILE, modelCard } from "./model-card.ts";
import type { PeftConfig } from "./peft-config.ts";
import type { PeftModel } from "./peft-model.ts";

/** What an adapter becomes: the settings and the tensors of a LoRA adapter. */
export interface LoraAdapter {
  readonly config: LoraConfig;
  /** By their names in PEFT's file, f32. */
  readonly tensors: ReadonlyMap<string, SafetensorsInput>;
}

/** One module of an adapter that is converted. */
export interface ConvertedModule {
  /** Path in the model: `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  readonly layer: AdapterLayer;
  /** The base's weight [out, in]; null where it is not here. */
  readonly weight: Tensor | null;
}

/**
 * An adapter as a LoRA adapter with a scaling of 1 (PEFT's `convert_to_lora`). Without a size nothing is lost and nothing
 * decomposed: A·diag(w) and B·diag(s) are LoRA's matrices. With `rank` or `energy` it is the best of that size, by the
 * singular value decomposition of every update. Copies of whole modules come along.
 *
 * @throws AdapterError for a name that is not there; AdapterConfigError for a size that an update does not have, or an adapter
 * that trains biases, which a LoRA of another model does not carry
 */
export async function convertToLora(
  peft: PeftModel,
  options: { readonly rank?: number; readonly energy?: number; readonly adapterName?: string } = {},
): Promise<LoraAdapter> {
  const { adapterName = peft.activeAdapter ?? "default" } = options;
  const config = Object.hasOwn(peft.peftConfig, adapterName) ? peft.peftConfig[adapterName] : undefined;
  if (!config) throw new AdapterError(adapterName, `Adapter ${adapterName} not found.`);
  const copies = new Map<string, SafetensorsInput>();
  for (const { path, copy } of plannedFrom(peft.baseModel, adapterName, config).copies)
    for (const [name, tensor] of copy.stateDict()) copies.set(`${PREFIX}${path}.${name}`, await savedTensor(tensor));
  const modules = adaptedLinears(peft.baseModel).flatMap(([path, adapted]) => {
    const layer = adapted.adapters.get(adapterName);
    return layer ? [{ path, layer, weight: adapted.unmergedWeight }] : [];
  });
  return loraAdapter(config, modules, sizeOf(options), copies);
}

/** `convertToLora`, written into a directory as PEFT's files. @throws as `convertToLora`; FileError */
export async function saveAsLora(
  dir: string,
  peft: PeftModel,
  options: { readonly rank?: number; readonly energy?: number; readonly adapterName?: string } = {},
): Promise<void> {
  await writeLora(dir, await convertToLora(peft, options));
}

/** The size that options name; null for an exact conversion. @throws AdapterConfigError when both are given, or none is legal */
export function sizeOf({ rank, energy }: { readonly rank?: number; readonly energy?: number }): LoraSize | null {
  if (rank !== undefined && energy !== undefined) {
    const why = "rank and energy say the same in two ways: give one of them";
    throw new AdapterConfigError("rank", rank, why);
  }
  const size = rank === undefined ? (energy === undefined ? null : { energy }) : { rank };
  if (size) checkLoraSize(size);
  return size;
}

/**
 * The LoRA adapter of an adapter's modules, one after another.
 *
 * @param others tensors of the adapter's file that are no module's: copies and embeddings, taken over as they are
 * @throws AdapterConfigError as `convertToLora`
 */
export async function loraAdapter(
  config: PeftConfig,
  modules: Iterable<ConvertedModule>,
  size: LoraSize | null,
  others: ReadonlyMap<string, SafetensorsInput>,
): Promise<LoraAdapter> {
  if (config.bias !== "none") {
    const why = `The adapter's config sets bias=${config.bias}, this is not supported right now.`;
    throw new AdapterConfigError("bias", config.bias, why);
  }
  const tensors = new Map<string, SafetensorsInput>();
  const ranks: [path: string, rank: number][] = [];
  for (const { path, layer, weight } of modules) {
    const { a, b } = await layerToLora(layer, weight, size);
    tensors.set(`${PREFIX}${path}.lora_A.weight`, stored(a));
    tensors.set(`${PREFIX}${path}.lora_B.weight`, stored(b));
    ranks.push([path, a.rows]);
  }
  for (const [name, tensor] of others) tensors.set(name, tensor);
  const [[, r] = ["", 1]] = ranks;
  // A scaling of 1: alpha is the rank.
  const patterns = Object.fromEntries(ranks.filter(([, rank]) => rank !== r));
  const { targetModules, excludeModules, layersToTransform, layersPattern, taskType, revision } = config;
  const { baseModelNameOrPath, autoMapping, modulesToSave } = config;
  const lora = new LoraConfig({
    r,
    loraAlpha: r,
    rankPattern: patterns,
    alphaPattern: patterns,
    targetModules,
    excludeModules,
    layersToTransform,
    layersPattern,
    modulesToSave,
    taskType,
    revision,
    baseModelNameOrPath,
    autoMapping,
    inferenceMode: true,
  });
  return { config: lora, tensors };
}

/** Write a LoRA adapter's files, all or none. @throws FileError */
export async function writeLora(dir: string, { config, tensors }: LoraAdapter): Promise<void> {
  await writeDirectoryFiles(
    dir,
    new Map<string, string | Uint8Array>([
      [WEIGHTS_FILE, serializeSafetensors(tensors, { format: "pt" })],
      [CONFIG_FILE, config.toJson()],
      [CARD_FILE, modelCard(config, null, config.taskType !== null || config.autoMapping !== null)],
    ]),
  );
}

const stored = ({ rows, columns, data }: Matrix): SafetensorsInput => ({
  dtype: "F32",
  shape: [rows, columns],
  data: Float32Array.from(data),
});
