import { LlamaForCausalLM } from "../nn/llama-for-causal-lm.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { AdaptedLinear } from "./adapted-linear.ts";
import type { AdapterLayer } from "./adapter-layer.ts";
import type { Names } from "./config-fields.ts";
import type { WarningHandler } from "./config-json.ts";
import { AdapterConfigError, TargetModulesError } from "./errors.ts";
import { snakeCase } from "./config-fields.ts";
import type { PeftConfig } from "./peft-config.ts";
import { pythonList, pythonSet } from "./python-json.ts";
import { SavedModule } from "./saved-module.ts";
import { condenseTargets, moduleSelector, unmatchedPatterns } from "./select-modules.ts";

/** What PEFT adapts in a Llama when nothing is said. */
const LLAMA_TARGETS = ["q_proj", "v_proj"];
const ALL_LINEAR = "all-linear";
const HEAD = "lm_head";

/** An adapter layer that is made but not yet in the model. */
export interface PlannedLayer {
  /** Path of the Linear in the model: `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  readonly layer: AdapterLayer;
}

/** A module's copy that is made but not yet in the model. */
export interface PlannedCopy {
  /** Path of the module in the model: `lm_head`. */
  readonly path: string;
  readonly copy: Module;
}

/** All of a new adapter, before the model is changed. */
export interface AdapterPlan {
  /** The config with the modules that were found for it. */
  readonly config: PeftConfig;
  readonly layers: readonly PlannedLayer[];
  readonly copies: readonly PlannedCopy[];
}

/**
 * Make an adapter layer for every target module of `config`, in the model's order, and a copy of every module that it
 * saves in full. The model is not changed.
 *
 * @throws TargetModulesError when nothing matches or a match is not a Linear; AdapterConfigError without targets or
 * for a rank below 1; PatternError for a regular expression that is wrong or refused
 */
export function planAdapter(model: Module, given: PeftConfig, warn: WarningHandler): AdapterPlan {
  const modules = outerModules(model);
  const config = given.with({ targetModules: targetModulesOf(model, given, modules) });
  const targets = findTargets(config, modules, warn);
  const layers = targets.map(([path, module]) => ({
    path,
    layer: config.createLayer(weightOf(path, module, modules), path).train(module.training),
  }));
  return { config, layers, copies: planCopies(config, modules) };
}

/** The adapted Linears of a model with their paths. */
export function adaptedLinears(model: Module): [string, AdaptedLinear][] {
  return model
    .namedModules()
    .flatMap(([path, module]) => (module instanceof AdaptedLinear ? [[path, module]] : []));
}

/** The modules that adapters have copies of, with their paths. */
export function savedModules(model: Module): [string, SavedModule][] {
  return model
    .namedModules()
    .flatMap(([path, module]) => (module instanceof SavedModule ? [[path, module]] : []));
}

/** A model's own modules but for itself: not what is inside of adapted ones or of copies. */
function outerModules(model: Module): [string, Module][] {
  const inside: string[] = [];
  return model.namedModules().filter(([path, module]) => {
    if (path === "" || inside.some((prefix) => path.startsWith(prefix))) return false;
    if (module instanceof AdaptedLinear || module instanceof SavedModule) inside.push(`${path}.`);
    return true;
  });
}

function targetModulesOf(model: Module, config: PeftConfig, modules: readonly [string, Module][]): Names {
  const { targetModules } = config;
  if (typeof targetModules === "string" && targetModules.toLowerCase() !== ALL_LINEAR) return targetModules;
  const names = modules.map(([path]) => path);
  if (typeof targetModules === "string") {
    const isHead = (path: string): boolean => model instanceof LlamaForCausalLM && path === HEAD;
    const linears = modules.filter(([path, module]) => isLinear(module) && !isHead(path));
    return condenseTargets(
      linears.map(([path]) => path),
      names,
    );
  }
  if (targetModules) return condenseTargets(targetModules, names);
  if (model instanceof LlamaForCausalLM) return LLAMA_TARGETS;
  const why = `Please specify \`target_modules\` in \`peft_config\`: there are no defaults for ${model.constructor.name}`;
  throw new AdapterConfigError("target_modules", null, why);
}

function findTargets(
  config: PeftConfig,
  modules: readonly [string, Module][],
  warn: WarningHandler,
): [string, Module][] {
  const { targetModules, excludeModules } = config;
  const verdict = moduleSelector({ ...config, targetModules: targetModules ?? [] });
  const verdicts = modules.map(([path]) => verdict(path));
  const targets = modules.filter((_, i) => verdicts[i] === "target");
  const isExcluding = verdicts.includes("excluded");
  if (targets.length === 0) {
    const why = nothingMatched(config, isExcluding, verdicts.includes("unmatched"));
    throw new TargetModulesError(targetModules ?? [], `${why} ${advice(modules)}`);
  }
  if (excludeModules?.length && !isExcluding) {
    const given = typeof excludeModules === "string" ? excludeModules : pythonSet(excludeModules);
    const check = "Please check that exclude_modules was set correctly.";
    warn(`You have passed exclude_modules=${given} but no modules were excluded. ${check}`);
  }
  for (const option of config.schema.warnedPatterns) {
    const patterns = new Map<string, unknown>(Object.entries(config.settings())).get(option);
    const unmatched = unmatchedPatterns(Object.keys(patterns as object), targets.map(([path]) => path));
    if (unmatched.length === 0) continue;
    const list = pythonList(unmatched.sort());
    warn(`The following ${snakeCase(option)} keys did not match any targeted module and were ignored: ${list}.`);
  }
  return targets;
}

/** PEFT's words for a config that adapts nothing. */
function nothingMatched(config: PeftConfig, isExcluding: boolean, hasUnmatched: boolean): string {
  const { targetModules, layersToTransform, layersPattern } = config;
  if (isExcluding && !hasUnmatched) {
    const check = "Check your `target_modules`, `exclude_modules` and `modules_to_save` configuration.";
    return `All modules were excluded. This is likely unintended. ${check}`;
  }
  if (!isExcluding && !targetModules?.length) {
    const check = "Please check the values for these arguments.";
    return `No \`target_modules\` passed but also no \`target_parameters\` found. ${check}`;
  }
  const given = typeof targetModules === "string" ? targetModules : pythonSet(targetModules ?? []);
  const what = isExcluding
    ? "No modules were targeted for adaptation. This might be caused by a combination of mismatched target modules and " +
      "excluded modules. Please check your `target_modules` and `exclude_modules` configuration. You may also have only " +
      "targeted modules that are marked to be saved (`modules_to_save`)."
    : `Target modules ${given} not found in the base model. Please check the target modules and try again.`;
  const layers = layersToTransform === null ? "" : ` Note: You specified 'layers_to_transform': ${repr(layersToTransform)}.`;
  const pattern = layersPattern === null ? "" : ` You also specified 'layers_pattern': ${repr(layersPattern)}.`;
  return what + layers + pattern;
}

const repr = (value: Names | number | readonly number[]): string =>
  typeof value === "object" ? pythonList(value) : String(value);

const isLinear = (module: Module): boolean => module instanceof Linear || module instanceof AdaptedLinear;

/** The frozen weight that an adapter at `path` is made for. */
function weightOf(path: string, module: Module, modules: readonly [string, Module][]): Linear["weight"] {
  if (module instanceof Linear) return module.weight;
  if (module instanceof AdaptedLinear) return module.unmergedWeight;
  const what = `${module.constructor.name} (${path})`;
  const why = `Target module ${what} is not supported. Currently, only \`torch.nn.Linear\` is supported.`;
  throw new TargetModulesError([path], `${why} ${advice(modules)}`);
}

/** PEFT's rule for what is saved in full: names that end in an entry, wherever in a word. */
function planCopies({ modulesToSave }: PeftConfig, modules: readonly [string, Module][]): PlannedCopy[] {
  const entries = modulesToSave ?? [];
  const found = modules.filter(([path]) => entries.some((entry) => path.endsWith(entry)));
  const outermost = found.filter(([path]) => !found.some(([other]) => path.startsWith(`${other}.`)));
  return outermost.map(([path, module]) => {
    if (module instanceof AdaptedLinear) {
      const why = `modules_to_save cannot be applied to ${path}: it has adapters`;
      throw new AdapterConfigError("modules_to_save", modulesToSave, why);
    }
    const source = module instanceof SavedModule ? module.originalModule : module;
    return { path, copy: source.clone().requiresGrad_(true) };
  });
}

/** What could have been asked for. */
function advice(modules: readonly [string, Module][]): string {
  const paths = modules.flatMap(([path, module]) => (isLinear(module) ? [path] : []));
  if (paths.length === 0) return "This model has no linear modules.";
  const names = new Set(paths.map((path) => path.slice(path.lastIndexOf(".") + 1)));
  const shown = [...names].slice(0, 12).join(", ");
  return `Its linear modules are called ${shown} (in full, for example, ${paths[0]}).`;
}
