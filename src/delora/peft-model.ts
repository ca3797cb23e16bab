import { joinPath } from "../io/index.ts";
import { LlamaForCausalLM } from "../nn/llama-for-causal-lm.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Device } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { loadLayers, PREFIX, readAdapterTensors, writeAdapter } from "./adapter-files.ts";
import { type AdapterReportRow, reportAdapter } from "./adapter-report.ts";
import type { WarningHandler } from "./config-json.ts";
import { AdapterConfigError, AdapterError } from "./errors.ts";
import { adaptedLinears, insertLayers, planLayers, type PlannedLayer, targetModulesOf } from "./inject.ts";
import { readPeftConfig } from "./load-config.ts";
import { mergeLayers, removeLayers } from "./merge.ts";
import { PeftConfig } from "./peft-config.ts";
import { pythonList } from "./python-json.ts";

/** A model that can be adapted. */
export type AdaptableModel = Module & { forward(...inputs: never[]): unknown };

/** How an adapter is loaded. */
export interface LoadAdapterOptions {
  /** Go on training it. Default false: everything is frozen and the model is in eval mode. */
  readonly isTrainable?: boolean;
  /** Default "default". */
  readonly adapterName?: string;
  /** Where warnings go. Default `console.warn`. */
  readonly warn?: WarningHandler;
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
 * A model with an adapter on it: only the adapter is trained and saved. Tensors have the names that they
 * have in PEFT.
 */
export class PeftModel<M extends AdaptableModel = AdaptableModel> {
  /** The adapted model itself: its `config`, its `generate`. */
  readonly baseModel: M;
  /** Configs by the adapters' names. */
  readonly peftConfig: Readonly<Record<string, PeftConfig>>;
  /** Name of the adapter in use. */
  readonly activeAdapter: string;

  private constructor(model: M, config: PeftConfig, adapterName: string, plan: readonly PlannedLayer[]) {
    insertLayers(model, plan, adapterName);
    if (config.inferenceMode) for (const { layer } of plan) layer.requiresGrad_(false);
    this.baseModel = model;
    this.peftConfig = { [adapterName]: config };
    this.activeAdapter = adapterName;
  }

  /** Put a new adapter on a model; see `getPeftModel`. */
  static create<M extends AdaptableModel>(
    model: M,
    config: PeftConfig,
    adapterName = DEFAULT_NAME,
  ): PeftModel<M> {
    checkName(adapterName);
    if (!(config instanceof PeftConfig)) {
      const why = "getPeftModel takes a DeloraConfig or a LoraConfig: new DeloraConfig({ r: 8 })";
      throw new AdapterConfigError("", config, why);
    }
    const targetModules = targetModulesOf(model, config);
    const plan = planLayers(model, config);
    const nameOrPath = model instanceof LlamaForCausalLM ? model.nameOrPath : null;
    const baseModelNameOrPath = nameOrPath ?? config.baseModelNameOrPath;
    return new PeftModel(model, config.with({ targetModules, baseModelNameOrPath }), adapterName, plan);
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
    options: LoadAdapterOptions = {},
  ): Promise<PeftModel<M>> {
    const { isTrainable = false, adapterName = DEFAULT_NAME, warn = console.warn } = options;
    checkName(adapterName);
    const config = (await readPeftConfig(dir, warn)).with({ inferenceMode: !isTrainable });
    const stored = await readAdapterTensors(dir);
    const plan = planLayers(model, config);
    const missing = loadLayers(plan, stored, { dir, name: adapterName, taskType: config.taskType });
    if (missing.length > 0)
      warn(`Found missing adapter keys while loading the checkpoint: ${pythonList(missing)}`);
    const peft = new PeftModel(model, config, adapterName, plan);
    return isTrainable ? peft : peft.eval();
  }

  /** What the model gives for these inputs. */
  forward(...inputs: Parameters<M["forward"]>): ReturnType<M["forward"]> {
    return this.baseModel.forward(...inputs) as ReturnType<M["forward"]>;
  }

  /**
   * All parameters with PEFT's names: `base_model.model.model.layers.0.self_attn.q_proj.delora_A.default`.
   */
  namedParameters(): [string, Parameter][] {
    return this.baseModel.namedParameters().map(([name, parameter]) => [PREFIX + name, parameter]);
  }

  /** All parameters, frozen ones too. */
  parameters(): Parameter[] {
    return this.baseModel.parameters();
  }

  /**
   * Parameters and buffers of the whole model with PEFT's names. They are the model's own: do not dispose
   * of them.
   */
  stateDict(): Map<string, Tensor> {
    return new Map([...this.baseModel.stateDict()].map(([name, tensor]) => [PREFIX + name, tensor]));
  }

  /** The tensors that `savePretrained` writes, with the names of the file: without the adapter's. */
  getPeftModelStateDict(adapterName = this.activeAdapter): Map<string, Tensor> {
    this.#configOf(adapterName);
    const layers = adaptedLinears(this.baseModel).map(([path, { adapters }]) => ({
      path,
      layer: adapters.get(adapterName),
    }));
    return new Map(
      layers.flatMap(({ path, layer }) =>
        [...(layer?.stateDict() ?? [])].map(([key, tensor]) => [`${PREFIX}${path}.${key}`, tensor]),
      ),
    );
  }

  /** Training mode on (or off). */
  train(mode = true): this {
    this.baseModel.train(mode);
    return this;
  }

  /** Training mode off. */
  eval(): this {
    return this.train(false);
  }

  /** Where the model is. */
  get device(): Device {
    return this.baseModel.device;
  }

  /** Move model and adapter. @throws DeviceError when the device is not open */
  async to(device: Device): Promise<this> {
    await this.baseModel.to(device);
    return this;
  }

  /** Number of trainable parameters and of all, tied weights counted once, buffers not at all. */
  getNbTrainableParameters(): [trainable: number, all: number] {
    return [this.baseModel.numParameters({ onlyTrainable: true }), this.baseModel.numParameters()];
  }

  /** Print, and return, PEFT's line: `trainable params: 900 || all params: 20,516 || trainable%: 4.3868`. */
  printTrainableParameters(): string {
    const [trainable, all] = this.getNbTrainableParameters();
    const share = all === 0 ? 0 : (100 * trainable) / all;
    const counts = `trainable params: ${thousands(trainable)} || all params: ${thousands(all)}`;
    const line = `${counts} || trainable%: ${share.toFixed(4)}`;
    console.log(line);
    return line;
  }

  /**
   * Write `adapter_config.json` and `adapter_model.safetensors`, byte for byte as PEFT: into `dir`, or a
   * folder of the adapter's name in it if that is not "default". Both files are complete before either
   * takes its place.
   *
   * @throws FileError when `dir` is a file or cannot be written
   */
  async savePretrained(dir: string): Promise<void> {
    const name = this.activeAdapter;
    const config = this.#configOf(name);
    const autoMapping =
      config.taskType === null && this.baseModel instanceof LlamaForCausalLM
        ? LLAMA_MAPPING
        : config.autoMapping;
    const target = name === DEFAULT_NAME ? dir : joinPath(dir, name);
    await writeAdapter(
      target,
      config.with({ inferenceMode: true, autoMapping }),
      this.getPeftModelStateDict(),
    );
  }

  /**
   * Add the adapter to the weights and return the model with plain Linears again. This object is of no use
   * after it.
   */
  mergeAndUnload(): M {
    mergeLayers(this.baseModel);
    return this.baseModel;
  }

  /**
   * Take the adapter off and return the model with plain Linears, as it was. This object is of no use after
   * it.
   */
  unload(): M {
    removeLayers(this.baseModel);
    return this.baseModel;
  }

  /** Strength, size and bound of the update in every adapted module. */
  adapterReport(adapterName = this.activeAdapter): Promise<AdapterReportRow[]> {
    this.#configOf(adapterName);
    return reportAdapter(this.baseModel, adapterName);
  }

  #configOf(adapterName: string): PeftConfig {
    if (Object.hasOwn(this.peftConfig, adapterName)) return this.peftConfig[adapterName];
    throw new AdapterError(
      adapterName,
      `Adapter ${adapterName} not found. The model has: ${Object.keys(this.peftConfig).join(", ")}.`,
    );
  }
}

/**
 * Put a new adapter on a model, in place: every target Linear is wrapped, all that is not the adapter's is
 * frozen.
 *
 * @throws TargetModulesError when the targets match nothing or something other than a Linear;
 * AdapterConfigError; AdapterError for a model that has adapters. Then the model is as it was
 */
export function getPeftModel<M extends AdaptableModel>(
  model: M,
  config: PeftConfig,
  adapterName?: string,
): PeftModel<M> {
  return PeftModel.create(model, config, adapterName);
}

function checkName(adapterName: string): void {
  if (/^[^./\\]+$/.test(adapterName)) return;
  throw new AdapterError(
    adapterName,
    `an adapter's name can't be empty or contain ".", "/" or "\\"; got ${JSON.stringify(adapterName)}`,
  );
}

const thousands = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ",");
