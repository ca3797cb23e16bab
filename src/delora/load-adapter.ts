import type { Module } from "../nn/module.ts";
import { type AdapterLoadReport, loadTensors, type StoredTensors } from "./adapter-files.ts";
import { filePlaces } from "./adapter-tensors.ts";
import { baseTensors, foreignLayers } from "./base-check.ts";
import type { WarningHandler } from "./config-json.ts";
import type { AdapterPlan } from "./inject.ts";

/** How an adapter is loaded. */
export interface LoadOptions {
  /** Go on training it. Default false: it is frozen. */
  readonly isTrainable?: boolean;
  /** Pass over stored tensors of another shape, with a warning, instead of refusing them. Default false. */
  readonly ignoreMismatchedSizes?: boolean;
}

/** How many modules a warning names. */
const SHOWN = 5;

/**
 * Give the layers and copies of an adapter, in the model or planned, the values of a file. Warns of modules whose stored
 * column norms are not those of this base: the stored ones are used, as in PEFT.
 *
 * @throws AdapterFileError; then nothing was taken over
 */
export async function loadPlan(
  model: Module,
  name: string,
  plan: AdapterPlan,
  stored: StoredTensors,
  options: LoadOptions & { readonly dir: string; readonly warn: WarningHandler },
): Promise<AdapterLoadReport> {
  const { dir, warn, ignoreMismatchedSizes = false } = options;
  const className = plan.config.taskType === "CAUSAL_LM" ? "PeftModelForCausalLM" : "PeftModel";
  const before = baseTensors(plan.layers);
  const places = filePlaces(model, name, plan);
  const report = loadTensors(places, stored, { dir, className, ignoreMismatchedSizes, warn });
  const foreign = await foreignLayers(before);
  if (foreign.length > 0) {
    const more = foreign.length > SHOWN ? ` and ${foreign.length - SHOWN} more` : "";
    warn(
      `The adapter in ${dir} was made for another base model: its stored column norms (w_norm) differ from this base's by ` +
        `more than 0.1 % in ${foreign.slice(0, SHOWN).join(", ")}${more}. The stored ones are used, as in PEFT.`,
    );
  }
  return report;
}
