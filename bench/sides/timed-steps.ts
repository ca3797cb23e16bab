import type { Round } from "../harness/side.ts";
import type { TrainingStep } from "../workloads/training-step.ts";

/** Runs steps, each waited for by reading its loss, as a loop does that prints it. */
export async function timedSteps(step: TrainingStep, count: number): Promise<Round> {
  const times: number[] = [];
  const losses: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    const loss = step();
    losses.push(await loss.item());
    times.push(performance.now() - start);
    loss.dispose();
  }
  return { times, losses };
}
