import { PolargradError } from "../tensor/errors.ts";
import type { AdamW } from "./adamw.ts";
import { refuseUnknownOptions } from "./check-options.ts";

/** Learning-rate schedules by the names that transformers uses. */
export type ScheduleName = "linear" | "cosine" | "constant" | "constant_with_warmup";

/** Lengths in optimizer steps. */
export interface ScheduleOptions {
  /** Steps over which the rate rises from 0. Default 0. */
  readonly numWarmupSteps?: number;
  /** All steps, warm-up included. `linear` and `cosine` need it. */
  readonly numTrainingSteps?: number;
}

/** A running schedule. */
export interface Scheduler {
  /** Set the rates of the next optimizer step; call it after `optimizer.step()`. */
  step(): void;
  /** The rates now, one for each group. */
  getLastLr(): number[];
}

/**
 * The factor of the base learning rate at step `k` (0-based): warm-up k/W, then linear (T-k)/(T-W), a half cosine, or 1.
 *
 * @throws PolargradError on an unknown name or a missing number of steps
 */
export function scheduleFactor(name: ScheduleName, k: number, { numWarmupSteps = 0, numTrainingSteps }: ScheduleOptions): number {
  if (name === "constant") return 1;
  if (k < numWarmupSteps) return k / Math.max(1, numWarmupSteps);
  if (name === "constant_with_warmup") return 1;
  if (name !== "linear" && name !== "cosine") {
    throw new PolargradError(`getScheduler: unknown schedule "${String(name)}"; choose linear, cosine, constant or constant_with_warmup`);
  }
  if (numTrainingSteps === undefined) throw new PolargradError(`getScheduler: the ${name} schedule needs numTrainingSteps`);
  const rest = Math.max(1, numTrainingSteps - numWarmupSteps);
  if (name === "linear") return Math.max(0, (numTrainingSteps - k) / rest);
  return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((k - numWarmupSteps) / rest))));
}

/**
 * A schedule on an optimizer, as `transformers.get_scheduler`: it sets the first rate at once, then one at each `step()`.
 *
 * @throws PolargradError on an unknown name or option, or a number of steps that is none
 */
export function getScheduler(name: ScheduleName, optimizer: AdamW, options: ScheduleOptions = {}): Scheduler {
  refuseUnknownOptions("getScheduler", options, ["numWarmupSteps", "numTrainingSteps"]);
  for (const [field, value] of Object.entries(options)) {
    if (value === undefined || (Number.isFinite(value) && value >= 0)) continue;
    throw new PolargradError(`getScheduler: ${field} must be a number of steps, 0 or more, got ${String(value)}`);
  }
  let steps = 0;
  const apply = (): void => {
    const factor = scheduleFactor(name, steps, options);
    for (const group of optimizer.paramGroups) group.lr = group.initialLr * factor;
  };
  apply();
  return {
    step() {
      steps++;
      apply();
    },
    getLastLr: () => optimizer.paramGroups.map((group) => group.lr),
  };
}
