import type { Side } from "../harness/side.ts";
import type { Device } from "../../src/index.ts";
import { deloraStep } from "../workloads/delora.ts";
import { llamaStep } from "../workloads/llama.ts";
import { mlpStep } from "../workloads/mlp.ts";
import type { TrainingStep } from "../workloads/training-step.ts";
import { openSide } from "./open-side.ts";
import { timedSteps } from "./timed-steps.ts";

/** A training loop on a device. */
export interface TrainingOptions {
  readonly device: Device;
  /** "delora": the model, adapter and ids in `folder`. */
  readonly workload: "mlp" | "llama" | "delora";
  readonly folder?: string;
}

/** The step of a workload. */
export async function stepOf({ device, workload, folder = "" }: TrainingOptions): Promise<TrainingStep> {
  if (workload === "delora") return deloraStep(folder);
  return workload === "mlp" ? mlpStep(device) : llamaStep(device);
}

/** Times the steps of a training loop. Its facts say how long device and model took to make. */
export async function training(options: TrainingOptions): Promise<Side> {
  const start = performance.now();
  const facts = await openSide(options.device);
  const step = await stepOf(options);
  const openMs = performance.now() - start;
  return { facts: { ...facts, openMs }, run: (count) => timedSteps(step, count) };
}
