import { exists, joinPath, readText, writeDirectoryFiles } from "../io/index.ts";
import { LlamaForCausalLM } from "../nn/llama-for-causal-lm.ts";
import { noGrad } from "../ops/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type AdaptableModel, AdaptedModel } from "./adapted-model.ts";
import { type AdapterLoadReport, readAdapterTensors, serializeAdapter, WEIGHTS_FILE } from "./adapter-files.ts";
import { type AdapterReportRow, reportAdapter } from "./adapter-report.ts";
import { fileTensors, plannedFrom, PREFIX, targetsEmbedding } from "./adapter-tensors.ts";
import { CONFIG_FILE, type WarningHandler } from "./config-json.ts";
import { AdapterError } from "./errors.ts";
import type { AdapterPlan } from "./inject.ts";
import { type LoadOptions, loadPlan } from "./load-adapter.ts";
import { readPeftConfig } from "./load-config.ts";
import { CARD_FILE, modelCard } from "./model-card.ts";
import { ModelAdapters } from "./model-adapters.ts";
import type { PeftConfig } from "./peft-config.ts";
import { pythonList } from "./python-json.ts";

/** How a first adapter is loaded. */
export interface FromPretrainedOptions extends LoadOptions {
  /** Default "default". */
  readonly adapterName?: string;
  /** Where warnings go. Default `console.warn`. */
  readonly warn?: WarningHandler;
}

/** What is saved, and how. */
export interface SavePretrainedOptions {
  /** Names of the adapters to save. Default: all. */
  readonly selectedAdapters?: readonly string[];
  /** Save the weights of the embedding and the head too. Default "auto": where one of them has an adapter. */
  readonly saveEmbeddingLayers?: boolean | "auto";
}

/**
 * The name of an adapter that was given none; it is saved in the directory itself, others in folders of
 * their names.
 */
const DEFAULT_NAME = "default";

/** What PEFT notes about a Llama where the config has no task type. */
const LLAMA_MAPPING = {
  base_model_class: "LlamaForCausalLM",
  parent_library: "transformers.models.llama.modeling_llama",
};

/**
 * A model with adapters on it: only adapters are trained and saved. Tensors have the names that they have in
 * PEFT.
 */
export class PeftModel<M extends AdaptableModel = AdaptableModel> extends AdaptedModel<M> {
  private constructor(model: M, warn: WarningHandler) {
    if (ModelAdapters.isOn(model)) warnSecond(warn);
    super(model, warn);
  }

  /** Put a new adapter on a model; see `getPeftModel`. */
  static create<M extends AdaptableModel>(
    model: M,
    config: PeftConfig,
    adapterName = DEFAULT_NAME,
    warn: WarningHandler = console.warn,
  ): PeftModel<M> {
    const peft = new PeftModel(model, warn);
    peft.#insertActive(adapterName, peft.adapters.plan(adapterName, peft.named(config)));
    return peft;
  }

  /**
   * Put the adapter saved in `dir`, here or by PEFT, on a model. Tensors that are not stored keep their
   * first values, with a warning; stored ones that the config does not ask for are passed over.
   *
   * @throws AdapterFileError when a file is missing or a tensor has another shape; AdapterConfigError,
   * TargetModulesError, SafetensorsError. Then the model is as it was
   */
  static async fromPretrained<M extends AdaptableModel>(
    model: M,
    dir: string,
    options: FromPretrainedOptions = {},
  ): Promise<PeftModel<M>> {
    const { isTrainable = false, adapterName = DEFAULT_NAME, warn = console.warn } = options;
    const config = (await readPeftConfig(dir, warn)).with({ inferenceMode: !isTrainable });
    const stored = await readAdapterTensors(dir);
    const peft = new PeftModel(model, warn);
    const plan = peft.adapters.plan(adapterName, config);
    const { missingKeys } = await loadPlan(model, adapterName, plan, stored, { ...options, dir, warn });
    if (missingKeys.length > 0)
      warn(`Found missing adapter keys while loading the checkpoint: ${pythonList(missingKeys)}.`);
    peft.#insertActive(adapterName, plan);
    return isTrainable ? peft : peft.eval();
  }

  /**
   * Load the adapter saved in `dir` beside those of the model, or into the one of this name. A new one is neither active
   * nor trained, or trained if `isTrainable`.
   *
   * @throws as `fromPretrained`
   */
  async loadAdapter(dir: string, adapterName: string, options: LoadOptions = {}): Promise<AdapterLoadReport> {
    const { isTrainable = false } = options;
    const adapters = this.adapters;
    const known = adapters.configs.get(adapterName);
    const config = known ?? (await readPeftConfig(dir, this.warn)).with({ inferenceMode: !isTrainable });
    const stored = await readAdapterTensors(dir);
    const plan = known ? plannedFrom(this.baseModel, adapterName, known) : adapters.plan(adapterName, config);
    const rest = { ...options, dir, warn: this.warn };
    const report = await loadPlan(this.baseModel, adapterName, plan, stored, rest);
    if (!known) {
      adapters.insert(adapterName, plan);
      adapters.setRequiresGrad([adapterName], isTrainable);
    }
    return report;
  }

  /**
   * All parameters with PEFT's names: `base_model.model.model.layers.0.self_attn.q_proj.delora_A.default`.
   */
  namedParameters(): [string, Parameter][] {
    return this.baseModel.namedParameters().map(([name, parameter]) => [PREFIX + name, parameter]);
  }

  /**
   * Parameters and buffers of the whole model with PEFT's names. They are the model's own: do not dispose
   * of them.
   */
  stateDict(): Map<string, Tensor> {
    return new Map([...this.baseModel.stateDict()].map(([name, tensor]) => [PREFIX + name, tensor]));
  }

  /**
   * The tensors that `savePretrained` writes, with the names of the file: without the adapter's. They may be the model's
   * own: do not dispose of them.
   *
   * @throws AdapterError for a name that is not there
   */
  getPeftModelStateDict(
    adapterName = this.activeAdapter ?? DEFAULT_NAME,
    saveEmbeddingLayers: boolean | "auto" = "auto",
  ): Map<string, Tensor> {
    const { baseModel } = this;
    const plan = plannedFrom(baseModel, adapterName, this.adapters.configOf(adapterName));
    const isTargeted = saveEmbeddingLayers === "auto" && targetsEmbedding(baseModel, plan.config);
    if (isTargeted)
      this.warn("Setting `save_embedding_layers` to `True` as embedding layers found in `target_modules`.");
    return noGrad(() => fileTensors(baseModel, plan, isTargeted || saveEmbeddingLayers === true));
  }

  /**
   * Write `adapter_config.json`, `adapter_model.safetensors` and the model card `README.md` as PEFT does: the adapter
   * "default" into `dir`, others into folders of their names in it. An adapter's files are complete before any of them
   * takes its place.
   *
   * @throws AdapterError for a selected adapter that is not there; FileError when `dir` is a file or cannot be written
   */
  async savePretrained(dir: string, options: SavePretrainedOptions = {}): Promise<void> {
    const names = [...this.adapters.configs.keys()];
    const { selectedAdapters = names, saveEmbeddingLayers = "auto" } = options;
    const unknown = selectedAdapters.find((name) => !names.includes(name));
    if (unknown !== undefined) {
      const have = `current supported adapter names are ${pythonList(names)}`;
      const why = `You passed an invalid \`selected_adapters\` arguments, ${have} - got ${pythonList(selectedAdapters)}.`;
      throw new AdapterError(unknown, why);
    }
    const isLlama = this.baseModel instanceof LlamaForCausalLM;
    const card = joinPath(dir, CARD_FILE);
    const folders: [string, Map<string, string | Uint8Array>][] = [];
    for (const name of selectedAdapters) {
      const config = this.adapters.configOf(name);
      const autoMapping = config.taskType === null && isLlama ? LLAMA_MAPPING : config.autoMapping;
      const files = new Map<string, string | Uint8Array>([
        [WEIGHTS_FILE, await serializeAdapter(this.getPeftModelStateDict(name, saveEmbeddingLayers))],
        [CONFIG_FILE, config.exported().with({ inferenceMode: true, autoMapping }).toJson()],
      ]);
      folders.push([name === DEFAULT_NAME ? dir : joinPath(dir, name), files]);
    }
    const [first = this.activeAdapter ?? DEFAULT_NAME] = selectedAdapters;
    const before = (await exists(card)) ? await readText(card, "a model card (README.md)") : null;
    const text = modelCard(this.adapters.configOf(first), before, isLlama);
    const top = folders.find(([folder]) => folder === dir)?.[1] ?? new Map<string, string | Uint8Array>();
    for (const [folder, files] of folders) if (folder !== dir) await writeDirectoryFiles(folder, files);
    await writeDirectoryFiles(dir, top.set(CARD_FILE, text));
  }

  /** Strength, size and bound of the update in every adapted module. @throws AdapterError for a name that is not there */
  adapterReport(
    adapterName = this.activeAdapter ?? DEFAULT_NAME,
    options: { readonly singularValues?: number } = {},
  ): Promise<AdapterReportRow[]> {
    this.adapters.configOf(adapterName);
    return reportAdapter(this.baseModel, adapterName, options.singularValues);
  }

  /** Put a planned adapter in the model, as the active one. */
  #insertActive(name: string, plan: AdapterPlan): void {
    this.adapters.insert(name, plan);
    if (this.adapters.configs.size > 1 || this.activeAdapter !== name)
      this.adapters.setActive([name], plan.config.inferenceMode);
  }
}

/**
 * Put a new adapter on a model, in place: every target Linear is wrapped, all that is not the adapter's is
 * frozen.
 *
 * @param options `warn`: where warnings go, here and later; default `console.warn`
 * @throws TargetModulesError when the targets match nothing or something other than a Linear;
 * AdapterConfigError; AdapterError. Then the model is as it was
 */
export function getPeftModel<M extends AdaptableModel>(
  model: M,
  config: PeftConfig,
  adapterName?: string,
  options: { readonly warn?: WarningHandler } = {},
): PeftModel<M> {
  return PeftModel.create(model, config, adapterName, options.warn);
}

/** Put a new adapter on a model as `getPeftModel` does, and return the model itself. */
export function injectAdapterInModel<M extends AdaptableModel>(
  config: PeftConfig,
  model: M,
  adapterName?: string,
  options: { readonly warn?: WarningHandler } = {},
): M {
  return PeftModel.create(model, config, adapterName, options.warn).baseModel;
}

function warnSecond(warn: WarningHandler): void {
  const advice = "If you want to reload the model with a different config, make sure to call `.unload()` before.";
  warn(`You are trying to modify a model with PEFT for a second time. ${advice}`);
  const result = "This will lead to having multiple adapters in the model. Make sure to know what you are doing!";
  warn(`Already found a \`peft_config\` attribute in the model. ${result}`);
}
