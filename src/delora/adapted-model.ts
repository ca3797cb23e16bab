import { LlamaForCausalLM } from "../nn/llama-for-causal-lm.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Device } from "../tensor/storage.ts";
import type { WarningHandler } from "./config-json.ts";
import { AdapterError } from "./errors.ts";
import { adaptedLinears } from "./inject.ts";
import { mergeLayers, refuseBrokenMerge, removeLayers, unmergedNames, unmergeLayers } from "./merge.ts";
import { ModelAdapters } from "./model-adapters.ts";
import type { PeftConfig } from "./peft-config.ts";
import { type LayerStatus, layerStatus, type ModelStatus, modelStatus } from "./status.ts";

/** A model that can be adapted. */
export type AdaptableModel = Module & { forward(...inputs: never[]): unknown };

/** How adapters are merged. */
export interface MergeOptions {
  /** Names of the adapters to merge. Default: the active ones. */
  readonly adapterNames?: readonly string[];
  /** Refuse, before anything is changed, an adapter whose merged weights would not be finite. Default false. */
  readonly safeMerge?: boolean;
}

/** A model with adapters on it: which take part, which are trained, which are merged. */
export abstract class AdaptedModel<M extends AdaptableModel> {
  /** The adapted model itself: its `config`, its `generate`. */
  readonly baseModel: M;
  protected readonly adapters: ModelAdapters;
  protected readonly warn: WarningHandler;

  protected constructor(model: M, warn: WarningHandler) {
    this.baseModel = model;
    this.warn = warn;
    this.adapters = new ModelAdapters(model, warn);
  }

  /** Configs by the adapters' names. */
  get peftConfig(): Readonly<Record<string, PeftConfig>> {
    return Object.fromEntries(this.adapters.configs);
  }

  /** Name of the adapter in use, the first of several; null when there is none. */
  get activeAdapter(): string | null {
    return this.adapters.active[0] ?? null;
  }

  /** Names of the adapters in use. */
  get activeAdapters(): readonly string[] {
    return this.adapters.active;
  }

  /**
   * What the model gives for these inputs.
   *
   * @throws AdapterError for `adapterNames` (a batch of which each row has its own adapter): the active adapters answer
   * for all rows, call `setAdapter` and run the rows of each adapter apart
   */
  forward(...inputs: Parameters<M["forward"]>): ReturnType<M["forward"]> {
    for (const input of inputs as unknown[]) {
      if (typeof input !== "object" || input === null || !("adapterNames" in input)) continue;
      const advice = "call setAdapter and run the rows of each adapter apart";
      throw new AdapterError("", `adapterNames is not supported: one batch has one set of adapters; ${advice}`);
    }
    return this.baseModel.forward(...inputs) as ReturnType<M["forward"]>;
  }

  /** The model's own `prepare`, where it has one: the inputs of `forward` as tensors. */
  get prepare(): M extends { readonly prepare: infer P } ? P : undefined {
    const { prepare } = this.baseModel as { readonly prepare?: (...inputs: never[]) => unknown };
    return prepare?.bind(this.baseModel) as M extends { readonly prepare: infer P } ? P : undefined;
  }

  /**
   * Put a second adapter on the model. It is neither active nor trained until `setAdapter`.
   *
   * @throws AdapterError for a name that is taken or cannot be used; AdapterConfigError for another method, or a second
   * adapter with biases; TargetModulesError. Then the model is as it was
   */
  addAdapter(adapterName: string, config: PeftConfig): void {
    if (this.adapters.configs.has(adapterName))
      throw new AdapterError(adapterName, `Adapter with name '${adapterName}' already exists.`);
    this.adapters.insert(adapterName, this.adapters.plan(adapterName, this.named(config)));
  }

  /**
   * Let an adapter take part, or several, whose updates add up, and no other. They become trainable (frozen if
   * `inferenceMode`), all others are frozen. Merged adapters are unmerged first, with a warning.
   *
   * @throws AdapterError for a name that is not there
   */
  setAdapter(adapterName: string | readonly string[], options: { readonly inferenceMode?: boolean } = {}): void {
    const names = typeof adapterName === "string" ? [adapterName] : adapterName;
    this.adapters.setActive(names, options.inferenceMode ?? false);
  }

  /**
   * Take an adapter off. If it was the only active one, the first of the others by name becomes active, with a warning.
   *
   * @throws AdapterError for a name that is not there, or an adapter that is merged
   */
  deleteAdapter(adapterName: string): void {
    this.adapters.delete(adapterName);
  }

  /** Let the parameters of adapters require gradients, or freeze them. */
  setRequiresGrad(adapterNames: string | readonly string[], requiresGrad = true): void {
    this.adapters.setRequiresGrad(typeof adapterNames === "string" ? [adapterNames] : adapterNames, requiresGrad);
  }

  /**
   * Run `f` with the base alone, and then let the adapters take part again exactly as before: merged ones stay merged,
   * frozen ones frozen. Of an `f` that is async, the end is waited for. Trained biases stay: there is a warning.
   */
  disableAdapter<T>(f: () => T): T {
    for (const bias of this.adapters.biasModes()) {
      const what = `Careful, disabling adapter layers with bias configured to be '${bias}'`;
      this.warn(`${what} does not produce the same output as the base model would without adaption.`);
    }
    const before = this.adapters.setEnabled(false);
    const restore = (): void => void this.adapters.setEnabled(before);
    let isPending = false;
    try {
      const result = f();
      if (!(result instanceof Promise)) return result;
      isPending = true;
      return result.finally(restore) as T;
    } finally {
      if (!isPending) restore();
    }
  }

  /**
   * Add adapters' updates to the weights: then the model runs as fast as its base, and the adapters cannot be trained.
   * `unmergeAdapter` takes them out again, bit for bit: the original weights are kept.
   *
   * @throws AdapterError for a name that is not there, or with `safeMerge` weights that are not finite; TypeError for
   * names that are no list. Then nothing was merged
   */
  async mergeAdapter({ adapterNames, safeMerge = false }: MergeOptions = {}): Promise<void> {
    if (typeof adapterNames === "string")
      throw new TypeError(`adapter_names should be a list of strings, got '${String(adapterNames)}'.`);
    for (const name of adapterNames ?? []) this.adapters.configOf(name);
    const names = unmergedNames(this.baseModel, adapterNames ?? this.activeAdapters, this.warn);
    if (safeMerge) await refuseBrokenMerge(this.baseModel, names);
    mergeLayers(this.baseModel, names);
  }

  /** Put the weights back that were there before adapters were merged into them. */
  unmergeAdapter(): void {
    if (!unmergeLayers(this.baseModel)) this.warn("Already unmerged. Nothing to do.");
  }

  /**
   * Add adapters to the weights and return the model with plain Linears again. This object is of no use after it.
   *
   * @throws as `mergeAdapter`
   */
  async mergeAndUnload(options: MergeOptions = {}): Promise<M> {
    await this.mergeAdapter(options);
    removeLayers(this.baseModel);
    this.adapters.clear();
    return this.baseModel;
  }

  /**
   * Take the adapters off and return the model with plain Linears and its own weights. This object is of no use after
   * it.
   */
  unload(): M {
    unmergeLayers(this.baseModel);
    removeLayers(this.baseModel);
    this.adapters.clear();
    return this.baseModel;
  }

  /** All parameters, frozen ones too. */
  parameters(): Parameter[] {
    return this.baseModel.parameters();
  }

  /**
   * The strengths λ of the active adapters. An optimizer can give them settings of their own, as the paper does; PEFT's
   * treat them as all other parameters: `new AdamW([{ params: strengths, lr: 1e-2 }, { params: others, lr: 1e-3 }])`.
   */
  strengthParameters(): Parameter[] {
    return adaptedLinears(this.baseModel)
      .flatMap(([, adapted]) => adapted.activeLayers())
      .flatMap((layer) => layer.strengthParameters());
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

  /** State of every module with adapters. @throws AdapterError when there is none */
  getLayerStatus(): LayerStatus[] {
    const [config] = this.adapters.configs.values();
    return layerStatus(this.baseModel, config?.schema.moduleType ?? "");
  }

  /** State of all adapters. @throws AdapterError when there is none */
  getModelStatus(): ModelStatus {
    return modelStatus(this.baseModel, this.adapters.configs);
  }

  /** A config that names the model it is for. */
  protected named(config: PeftConfig): PeftConfig {
    const { baseModel } = this;
    const name = baseModel instanceof LlamaForCausalLM ? baseModel.nameOrPath : null;
    const before = config.baseModelNameOrPath;
    if (name === null || name === before) return config;
    if (before !== null) {
      const advice = "Please ensure that the correct base model is loaded when loading this checkpoint.";
      this.warn(`The PEFT config's \`base_model_name_or_path\` was renamed from '${before}' to '${name}'. ${advice}`);
    }
    return config.with({ baseModelNameOrPath: name });
  }
}

const thousands = (count: number): string => String(count).replace(/\B(?=(\d{3})+$)/g, ",");
