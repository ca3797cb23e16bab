import { describe, expect, it } from "vitest";
import { expectLosses } from "../../bench/harness/gates.ts";
import { timedSteps } from "../../bench/sides/timed-steps.ts";
import { LLAMA_LOSSES, llamaStep } from "../../bench/workloads/llama.ts";
import { MLP_LOSSES, mlpStep } from "../../bench/workloads/mlp.ts";
import type { Device } from "../../src/index.ts";
import type { TrainingStep } from "../../bench/workloads/training-step.ts";

const WORKLOADS: [string, (device: Device) => TrainingStep, Readonly<Record<number, number>>][] = [
  ["mlp", mlpStep, MLP_LOSSES],
  ["llama", llamaStep, LLAMA_LOSSES],
];

describe("the workloads that every peer has", () => {
  it.each(WORKLOADS)("%s: the losses on the CPU are the published ones", async (_name, make, expected) => {
    const { losses = [], times } = await timedSteps(make("cpu"), 11);
    expect(times).toHaveLength(11);
    for (const [step, loss] of Object.entries(expected)) expect(Math.abs(losses[Number(step)] - loss)).toBeLessThan(1e-4);
    expect(expectLosses(losses, expected)).toContain("steps 0, 3, 10");
    // A step more or less is another loss: the gate tells them apart.
    expect(() => expectLosses(losses.slice(1), expected)).toThrow(`the loss of step 0 is ${losses[1]}`);
  });
});
