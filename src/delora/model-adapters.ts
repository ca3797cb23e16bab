import { LlamaForCausalLM } from "../nn/llama-for-causal-lm.ts";
import type { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { AdaptedLinear } from "./adapted-linear.ts";
import type { WarningHandler } from "./config-json.ts";
import { AdapterConfigError, AdapterError } from "./errors.ts";
import { adaptedLinears, type AdapterPlan, planAdapter, savedModules } from "./inject.ts";
import { PeftConfig } from "./peft-config.ts";
import { pythonList } from "./python-json.ts";
import { SavedModule } from "./saved-module.ts";
import { unmergeLayers } from "./merge.ts";

/** Which adapters a model has; one object a model, whoever wraps it. */
interface AdapterState {
  readonly configs: Map<string, PeftConfig>;
  active: readonly string[];
  enabled: boolean;
}

const states = new WeakMap<Module, AdapterState>();

/**
 * The adapters of one model: which there are, which take part, which are trained (PEFT's `BaseTuner`). All that share a
 * model share its adapters.
 */
export class ModelAdapters {
  readonly model: Module;
  readonly #state: AdapterState;
  readonly #warn: WarningHandler;

  constructor(model: Module, warn: WarningHandler) {
    this.model = model;
    this.#state = states.get(model) ?? { configs: new Map(), active: [], enabled: true };
    this.#warn = warn;
    states.set(model, this.#state);
  }

  /** Whether a model has adapters already. */
  static isOn(model: Module): boolean {
    return (states.get(model)?.configs.size ?? 0) > 0;
  }

  /** By name. */
  get configs(): ReadonlyMap<string, PeftConfig> {
    return this.#state.configs;
  }

  /** Names of the adapters that take part, in the order in which they were set. */
  get active(): readonly string[] {
    return this.#state.active;
  }

  /** The config of an adapter. @throws AdapterError when it is not there */
  configOf(name: string): PeftConfig {
    const config = this.#state.configs.get(name);
    if (config) return config;
    const has = [...this.#state.configs.keys()].join(", ") || "none";
    throw new AdapterError(name, `Adapter ${name} not found. The model has: ${has}.`);
  }

  /**
   * Make a new adapter without changing the model. A name that is there already is planned anew.
   *
   * @throws AdapterError for a name that cannot be used, another method beside those there, or a second adapter with
   * biases; AdapterConfigError, TargetModulesError, PatternError
   */
  plan(name: string, config: PeftConfig): AdapterPlan {
    checkName(name);
    if (!(config instanceof PeftConfig)) {
      const why = "an adapter needs a DeloraConfig or a LoraConfig: new DeloraConfig({ r: 8 })";
      throw new AdapterConfigError("", config, why);
    }
    const { prefix } = config.schema;
    if (prefix.includes(name)) {
      const risk = "This may lead to reinitialization of the adapter weights during loading.";
      this.#warn(`Adapter name '${name}' should not be contained in the prefix '${prefix}'. ${risk}`);
    }
    const others = [...this.#state.configs].filter(([other]) => other !== name).map(([, other]) => other);
    refuseMixture(others, config);
    refuseBias(others, config);
    this.#warnTied(config);
    return planAdapter(this.model, config, this.#warn);
  }

  /** Put a planned adapter into the model; the first adapter of a model is active and freezes everything else. */
  insert(name: string, plan: AdapterPlan): void {
    const { model } = this;
    const state = this.#state;
    const isFirst = state.configs.size === 0;
    if (isFirst) {
      model.requiresGrad_(false);
      state.active = [name];
    } else if (adaptedLinears(model).some(([, { baseWeight }]) => baseWeight)) {
      this.#unmergeAloud();
    }
    const { config } = plan;
    state.configs.set(name, config);
    this.#removeLayers(name);
    const isTrained = state.active.includes(name) && !config.inferenceMode;
    for (const { path, layer } of plan.layers)
      adaptedAt(model, path).adapters.set(name, layer.requiresGrad_(isTrained));
    for (const { path, copy } of plan.copies)
      savedAt(model, path).modulesToSave.set(name, copy.requiresGrad_(isTrained));
    this.#apply();
    if (isTrained) this.#trainBiases(config);
  }

  /**
   * Let the named adapters take part, and no other. They become trainable, or frozen if `inferenceMode`; all others
   * are frozen.
   *
   * @throws AdapterError for a name that is not there, or several with copies of one module
   */
  setActive(names: readonly string[], inferenceMode: boolean): void {
    for (const name of names) this.configOf(name);
    for (const [path, { modulesToSave }] of savedModules(this.model)) {
      const own = names.filter((name) => modulesToSave.has(name));
      if (own.length <= 1) continue;
      const why = `Only one adapter can be set at a time for ${path} (modules_to_save), got ${own.length}`;
      throw new AdapterError(own[1], `${why}: ${own.join(", ")}`);
    }
    if (adaptedLinears(this.model).some(([, { baseWeight }]) => baseWeight)) this.#unmergeAloud();
    this.#state.active = [...new Set(names)];
    this.#apply();
    for (const name of this.#state.configs.keys())
      this.setRequiresGrad([name], names.includes(name) && !inferenceMode);
  }

  /** Let the parameters of adapters require gradients, or freeze them. */
  setRequiresGrad(names: readonly string[], flag: boolean): void {
    for (const name of names) {
      for (const [, { adapters }] of adaptedLinears(this.model)) adapters.get(name)?.requiresGrad_(flag);
      for (const [, { modulesToSave }] of savedModules(this.model)) modulesToSave.get(name)?.requiresGrad_(flag);
    }
  }

  /**
   * Take an adapter off. If none is active afterwards, the first of the others by name is.
   *
   * @throws AdapterError for a name that is not there, or an adapter that is merged
   */
  delete(name: string): void {
    const state = this.#state;
    if (!state.configs.has(name)) throw new AdapterError(name, `Adapter ${name} does not exist`);
    const layers = adaptedLinears(this.model);
    if (layers.some(([, { mergedAdapters }]) => mergedAdapters.includes(name))) {
      const advice = "Please unmerge them first.";
      throw new AdapterError(name, `Cannot delete adapter(s) ${pythonList([name])} while they are merged. ${advice}`);
    }
    state.configs.delete(name);
    this.#removeLayers(name);
    if (!state.active.includes(name)) return;
    const others = state.active.filter((other) => other !== name);
    const [first] = [...state.configs.keys()].sort();
    if (others.length === 0 && first !== undefined) {
      this.#warn(`Adapter ${name} was active which is now deleted. Setting active adapter to ${first}.`);
      this.setActive([first], false);
    } else {
      this.setActive(others, false);
    }
  }

  /** Let the base answer alone (false), or the adapters too; returns how it was. */
  setEnabled(enabled: boolean): boolean {
    const before = this.#state.enabled;
    this.#state.enabled = enabled;
    this.#apply();
    return before;
  }

  /** The biases that active adapters train, in words of their configs. */
  biasModes(): string[] {
    return this.active.map((name) => this.configOf(name).bias).filter((bias) => bias !== "none");
  }

  /** Forget all adapters; their layers are out of the model. */
  clear(): void {
    states.delete(this.model);
    this.#state.configs.clear();
    this.#state.active = [];
  }

  /** Tell every module which adapters take part. */
  #apply(): void {
    const { active, enabled } = this.#state;
    for (const [, adapted] of adaptedLinears(this.model)) {
      adapted.activeAdapters = active;
      adapted.enabled = enabled;
    }
    for (const [, saved] of savedModules(this.model)) {
      saved.activeAdapter = active.find((name) => saved.modulesToSave.has(name)) ?? null;
      saved.enabled = enabled;
    }
  }

  #removeLayers(name: string): void {
    for (const [, { adapters }] of adaptedLinears(this.model)) adapters.delete(name);
    for (const [, { modulesToSave }] of savedModules(this.model)) modulesToSave.delete(name);
  }

  #unmergeAloud(): void {
    this.#warn("Adapter cannot be set when the model is merged. Unmerging the model first.");
    unmergeLayers(this.model);
  }

  #trainBiases({ bias }: PeftConfig): void {
    if (bias === "none") return;
    const adapted = adaptedLinears(this.model).map(([path]) => `${path}.base_layer.bias`);
    for (const [name, parameter] of this.model.namedParameters()) {
      if (bias === "all" ? name.endsWith(".bias") : adapted.includes(name)) parameter.requiresGrad = true;
    }
  }

  #warnTied({ targetModules, modulesToSave }: PeftConfig): void {
    const { model } = this;
    if (!(model instanceof LlamaForCausalLM) || !model.config.tieWordEmbeddings) return;
    const listed = typeof targetModules === "string" ? [] : (targetModules ?? []);
    const names = [...listed, ...(modulesToSave ?? [])].map((name) => name.slice(name.lastIndexOf(".") + 1));
    if (!names.includes("lm_head") && !names.includes("embed_tokens")) return;
    this.#warn(
      "Model has `tie_word_embeddings=True` and a tied layer is part of the adapter, but no implementation exists to tie " +
        "the adapters: the head changes, the embedding does not.",
    );
  }
}

/** The wrapper of the Linear at a path; made where there is none. */
function adaptedAt(model: Module, path: string): AdaptedLinear {
  const module = model.getSubmodule(path);
  if (module instanceof AdaptedLinear) return module;
  const adapted = new AdaptedLinear(module as Linear);
  model.setSubmodule(path, adapted);
  return adapted;
}

/** The wrapper of the module at a path that adapters have copies of; made where there is none. */
function savedAt(model: Module, path: string): SavedModule {
  const module = model.getSubmodule(path);
  if (module instanceof SavedModule) return module;
  const saved = new SavedModule(module);
  model.setSubmodule(path, saved);
  return saved;
}

function checkName(name: string): void {
  if (/^[^./\\]+$/.test(name)) return;
  throw new AdapterError(
    name,
    `an adapter's name can't be empty or contain ".", "/" or "\\"; got ${JSON.stringify(name)}`,
  );
}

function refuseMixture([other]: readonly PeftConfig[], { peftType }: PeftConfig): void {
  if (other === undefined || other.peftType === peftType) return;
  const found = `Found PeftType.${other.peftType} and PeftType.${peftType}.`;
  throw new AdapterConfigError("peft_type", peftType, `Cannot combine adapters with different peft types. ${found}`);
}

function refuseBias(others: readonly PeftConfig[], { bias, schema }: PeftConfig): void {
  if (bias !== "none" && bias !== "all" && !bias.endsWith("_only")) {
    throw new AdapterConfigError("bias", bias, `Requested bias: ${bias}, is not implemented.`);
  }
  if (bias === "none" || others.every((other) => other.bias === "none")) return;
  const advice = "When using multiple adapters, set bias to 'none' for all adapters.";
  const why = `${schema.modelType} supports only 1 adapter with bias. ${advice}`;
  throw new AdapterConfigError("bias", bias, why);
}
