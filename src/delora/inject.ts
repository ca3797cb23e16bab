import { LlamaForCausalLM } from "../nn/llama-for-causal-lm.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { AdaptedLinear } from "./adapted-linear.ts";
import type { AdapterLayer } from "./adapter-layer.ts";
import { AdapterConfigError, AdapterError, TargetModulesError } from "./errors.ts";
import type { PeftConfig } from "./peft-config.ts";

/** What PEFT adapts in a Llama when nothing is said. */
const LLAMA_TARGETS = ["q_proj", "v_proj"];

/** An adapter layer that is made but not yet in the model. */
export interface PlannedLayer {
  /** Path of the Linear in the model: `model.layers.0.self_attn.q_proj`. */
  readonly path: string;
  readonly linear: Linear;
  readonly layer: AdapterLayer;
}

/**
 * Make an adapter layer for every target module of `config`, in the model's order. The model is not
 * changed.
 *
 * @throws TargetModulesError when nothing matches or a match is not a Linear; AdapterError for a model that
 * has adapters
 */
export function planLayers(model: Module, config: PeftConfig): PlannedLayer[] {
  const linears = findTargets(model, targetModulesOf(model, config));
  return linears.map(([path, linear]) => ({ path, linear, layer: config.createLayer(linear.weight) }));
}

/**
 * The modules to adapt: those of the config, else the defaults for the model.
 *
 * @throws AdapterConfigError without either
 */
export function targetModulesOf(model: Module, config: PeftConfig): readonly string[] {
  if (config.targetModules) return config.targetModules;
  if (model instanceof LlamaForCausalLM) return LLAMA_TARGETS;
  const name = model.constructor.name;
  const why = `Please specify \`target_modules\` in \`peft_config\`: there are no defaults for ${name}`;
  throw new AdapterConfigError("target_modules", null, why);
}

/** Put planned layers into the model as the active adapter `name`; everything else is frozen. */
export function insertLayers(model: Module, plan: readonly PlannedLayer[], name: string): void {
  model.requiresGrad_(false);
  for (const { path, linear, layer } of plan) {
    const adapted = new AdaptedLinear(linear);
    adapted.adapters.set(name, layer.train(linear.training));
    adapted.activeAdapters = [name];
    model.setSubmodule(path, adapted);
  }
}

/** The adapted Linears of a model with their paths. */
export function adaptedLinears(model: Module): [string, AdaptedLinear][] {
  return model
    .namedModules()
    .flatMap(([path, module]) => (module instanceof AdaptedLinear ? [[path, module]] : []));
}

/** PEFT's rule for lists: the full name, or the last parts of it. */
const isTarget = (path: string, target: string): boolean => path === target || path.endsWith(`.${target}`);

function findTargets(model: Module, targets: readonly string[]): [string, Linear][] {
  const refuse = (why: string): never => {
    throw new TargetModulesError(targets, `${why} ${advice(model)}`);
  };
  if (targets.length === 0) {
    const checkValues = "Please check the values for these arguments.";
    refuse(`No \`target_modules\` passed but also no \`target_parameters\` found. ${checkValues}`);
  }
  if (adaptedLinears(model).length > 0) {
    const why = "the model has adapters already; take them off with unload() or mergeAndUnload() first";
    throw new AdapterError("", why);
  }
  const matches = model.namedModules().filter(([path]) => targets.some((target) => isTarget(path, target)));
  if (matches.length === 0) {
    const names = targets.map((target) => `'${target}'`).join(", ");
    const checkTargets = "Please check the target modules and try again.";
    refuse(`Target modules {${names}} not found in the base model. ${checkTargets}`);
  }
  return matches.map(([path, module]) => {
    if (module instanceof Linear) return [path, module];
    const what = `${module.constructor.name} (${path})`;
    return refuse(
      `Target module ${what} is not supported. Currently, only \`torch.nn.Linear\` is supported.`,
    );
  });
}

/** What could have been asked for. */
function advice(model: Module): string {
  const paths = model.namedModules().flatMap(([path, module]) => (module instanceof Linear ? [path] : []));
  if (paths.length === 0) return "This model has no linear modules.";
  const names = new Set(paths.map((path) => path.slice(path.lastIndexOf(".") + 1)));
  const shown = [...names].slice(0, 12).join(", ");
  return `Its linear modules are called ${shown} (in full, for example, ${paths[0]}).`;
}
