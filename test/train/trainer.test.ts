import { describe, expect, it } from "vitest";
import { DeloraConfig, getPeftModel } from "../../src/delora/index.ts";
import { full, noGrad } from "../../src/index.ts";
import { liveCpuStorages } from "../../src/tensor/cpu-storage.ts";
import { evaluateLoss, type StepReport, Trainer, type TrainingArguments, TrainingError } from "../../src/train/index.ts";
import { tinyLlama, tinyRows } from "./tiny-rows.ts";

async function run(args: TrainingArguments, rows = tinyRows(12)): Promise<StepReport[]> {
  const reports: StepReport[] = [];
  await new Trainer(tinyLlama(), rows, { learningRate: 1e-2, ...args }).train({ onStep: (report) => void reports.push(report) });
  return reports;
}

describe("Trainer", () => {
  it("lowers the loss, also of an adapter", async () => {
    const reports = await run({ numEpochs: 20, batchSize: 4 });
    expect(reports).toHaveLength(60);
    expect(reports[59].loss).toBeLessThan(0.6 * reports[0].loss);
    const peft = getPeftModel(tinyLlama(), new DeloraConfig({ r: 4, targetModules: ["q_proj", "v_proj", "up_proj", "down_proj"] }));
    const before = await evaluateLoss(peft, tinyRows(12));
    await new Trainer(peft, tinyRows(12), { learningRate: 1e-2, numEpochs: 20, batchSize: 4 }).train();
    expect(await evaluateLoss(peft, tinyRows(12))).toBeLessThan(before - 0.05);
  });

  it("weighs tokens, not micro-batches: accumulation gives the step of the whole batch", async () => {
    const whole = await run({ batchSize: 12, maxSteps: 3 });
    const parts = await run({ batchSize: 5, gradientAccumulationSteps: 3, maxSteps: 3 });
    whole.forEach(({ loss, gradNorm }, i) => {
      expect(parts[i].loss).toBeCloseTo(loss, 4);
      expect(parts[i].gradNorm).toBeCloseTo(gradNorm, 3);
    });
  });

  it("counts steps and rates as transformers does", async () => {
    const trainer = new Trainer(tinyLlama(), tinyRows(11), { batchSize: 2, gradientAccumulationSteps: 4, numEpochs: 2.5 });
    expect([trainer.stepsPerEpoch, trainer.totalSteps]).toEqual([2, 5]);
    const reports = await run({ batchSize: 3, maxSteps: 5, warmupRatio: 0.4, learningRate: 1 });
    expect(reports.map(({ learningRate }) => learningRate)).toEqual([0, 0.5, 1, 2 / 3, 1 / 3]);
  });

  it("repeats itself for a seed, and orders rows by it", async () => {
    const losses = async (seed: number): Promise<number[]> => (await run({ batchSize: 2, maxSteps: 4, seed })).map(({ loss }) => loss);
    expect(await losses(1)).toEqual(await losses(1));
    expect(await losses(1)).not.toEqual(await losses(2));
  });

  it("stops at a loss that is not finite, and updates nothing", async () => {
    const model = tinyLlama();
    const weights = new Map(model.namedParameters());
    const broken = weights.get("model.layers.0.mlp.up_proj.weight");
    broken?.assign(full(broken.shape, Number.NaN));
    const embedding = weights.get("model.embed_tokens.weight");
    const before = await embedding?.data();
    const training = new Trainer(model, tinyRows(4), { maxSteps: 2 }).train();
    await expect(training).rejects.toThrow(/step 1: the loss is NaN .* nothing was updated/);
    expect(before).toBeDefined();
    expect(await embedding?.data()).toEqual(before);
  });

  it("refuses a run with nothing to do", () => {
    const frozen = tinyLlama();
    frozen.requiresGrad_(false);
    expect(() => new Trainer(frozen, tinyRows(2))).toThrow(TrainingError);
    expect(() => new Trainer(tinyLlama(), [])).toThrow("no rows");
    expect(() => new Trainer(tinyLlama(), tinyRows(2), { batchSize: 0 })).toThrow("batchSize must be a whole number of at least 1, got 0");
    expect(() => new Trainer(tinyLlama(), tinyRows(2), { learningRate: Number.NaN })).toThrow("learningRate must be a number of at least 0, got NaN");
  });

  it("keeps the number of live tensors constant from step to step", async () => {
    const live: number[] = [];
    await new Trainer(tinyLlama(), tinyRows(12), { batchSize: 4, maxSteps: 8, evalSteps: 2 }, tinyRows(3)).train({ onStep: () => void live.push(liveCpuStorages()) });
    expect(new Set(live.slice(2)).size).toBe(1);
  });

  it("evaluates by tokens: the loss of all rows does not depend on the batch size", async () => {
    const model = tinyLlama();
    const [one, all] = [await evaluateLoss(model, tinyRows(7), { batchSize: 1 }), await evaluateLoss(model, tinyRows(7), { batchSize: 7 })];
    expect(one).toBeCloseTo(all, 5);
    expect(noGrad(() => model.training)).toBe(false);
  });
});
