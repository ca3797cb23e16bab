import { describe, expect, it } from "vitest";
import { tensor } from "../../src/index.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { AdamW, getScheduler, scheduleFactor, type ScheduleName } from "../../src/train/index.ts";

const rates = (name: ScheduleName, steps: number, options: { numWarmupSteps?: number; numTrainingSteps?: number }): number[] => {
  const optimizer = new AdamW([new Parameter(tensor([1]))], { lr: 1 });
  const schedule = getScheduler(name, optimizer, options);
  return Array.from({ length: steps }, () => {
    const [rate] = schedule.getLastLr();
    schedule.step();
    return rate;
  });
};

describe("schedules", () => {
  // transformers 5.18 get_scheduler, learning rate 1, 2 of 6 steps warm up
  it.each([
    ["linear", [0, 0.5, 1, 0.75, 0.5, 0.25, 0]],
    ["cosine", [0, 0.5, 1, 0.8535533905932737, 0.5, 0.14644660940672627, 0]],
    ["constant_with_warmup", [0, 0.5, 1, 1, 1, 1, 1]],
    ["constant", [1, 1, 1, 1, 1, 1, 1]],
  ] as const)("%s follows transformers", (name, expected) => {
    for (const [i, rate] of rates(name, 7, { numWarmupSteps: 2, numTrainingSteps: 6 }).entries()) expect(rate).toBeCloseTo(expected[i], 12);
  });

  it("scales every group's own rate", () => {
    const groups = [0.1, 0.01].map((lr) => ({ params: [new Parameter(tensor([1]))], lr }));
    const schedule = getScheduler("linear", new AdamW(groups), { numTrainingSteps: 2 });
    schedule.step();
    expect(schedule.getLastLr()).toEqual([0.05, 0.005]);
  });

  it("refuses what it does not know", () => {
    expect(() => scheduleFactor("polynomial" as ScheduleName, 0, {})).toThrow('unknown schedule "polynomial"');
    expect(() => scheduleFactor("linear", 0, {})).toThrow("needs numTrainingSteps");
    const optimizer = new AdamW([new Parameter(tensor([1]))]);
    const making = (options: object) => (): unknown => getScheduler("linear", optimizer, options);
    expect(making({ numWarmupSteps: Number.NaN, numTrainingSteps: 3 })).toThrow("numWarmupSteps must be a number of steps, 0 or more, got NaN");
    expect(making({ numTrainingSteps: -3 })).toThrow("numTrainingSteps must be a number of steps, 0 or more, got -3");
    expect(making({ num_training_steps: 3 })).toThrow('getScheduler got an unexpected option "num_training_steps"');
  });
});
