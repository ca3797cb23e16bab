import type { Side } from "../harness/side.ts";
import { currentGpu } from "../../src/index.ts";
import { openSide } from "./open-side.ts";
import { stepOf, type TrainingOptions } from "./training.ts";

/**
 * Times what a step costs before the wait for its loss begins: our JavaScript, and what WebGPU does in its calls. A unit is a step,
 * its time is divided by its dispatches: milliseconds a dispatch.
 */
export async function dispatchOverhead(options: TrainingOptions): Promise<Side> {
  const facts = await openSide(options.device);
  const dispatches = (): number => currentGpu()?.stream.counts.dispatches ?? 0;
  const first = dispatches();
  (await stepOf(options))().dispose();
  const perStep = dispatches() - first;
  const step = await stepOf(options);
  return {
    facts: { ...facts, dispatches: perStep },
    async run(count) {
      const times: number[] = [];
      const losses: number[] = [];
      for (let i = 0; i < count; i++) {
        const [start, before] = [performance.now(), dispatches()];
        const loss = step();
        const value = loss.item();
        const elapsed = performance.now() - start;
        times.push(elapsed / (dispatches() - before));
        losses.push(await value);
        loss.dispose();
      }
      return { times, losses };
    },
  };
}
