import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { DeloraConfig, getPeftModel } from "../../src/delora/index.ts";
import type { LlamaForCausalLM } from "../../src/nn/index.ts";
import { closeDevice, currentGpu, manualSeed, mul, openDevice } from "../../src/ops/index.ts";
import { to } from "../../src/ops/to.ts";
import type { Device } from "../../src/tensor/storage.ts";
import { type StepReport, Trainer, type TrainingArguments } from "../../src/train/index.ts";
import { useTestDriver } from "../driver.ts";
import { tinyLlama, tinyRows } from "./tiny-rows.ts";

beforeAll(async () => {
  useTestDriver();
  await openDevice("webgpu");
});
afterAll(closeDevice);

const rows = tinyRows(24).map(({ inputIds, labels }) => ({ inputIds: [...inputIds, 1, 2, 3].slice(0, 6), labels: [...labels, 1, 2, 3].slice(0, 6) }));

async function llamaOn(device: Device): Promise<LlamaForCausalLM> {
  const model = tinyLlama();
  for (const parameter of model.parameters()) {
    const moved = await to(parameter, device);
    parameter.assign(moved);
    moved.dispose();
  }
  return model;
}

interface Outcome {
  readonly reports: StepReport[];
  readonly forwards: number;
  readonly weights: number[][];
}

/** Trains an adapter with dropout; `change` may alter the model first. */
async function train(device: Device, args: TrainingArguments, change: (model: LlamaForCausalLM) => void = () => {}): Promise<Outcome> {
  const base = await llamaOn(device);
  const config = new DeloraConfig({ r: 2, targetModules: ["q_proj", "v_proj", "down_proj"], moduleDropout: 0.1, initWeights: false });
  manualSeed(11);
  const peft = getPeftModel(base, config);
  change(base);
  const forward = vi.spyOn(base.model, "forward");
  manualSeed(5);
  const reports: StepReport[] = [];
  await new Trainer(peft, rows, { learningRate: 1e-2, batchSize: 4, padTokenId: 0, ...args }).train({ onStep: (report) => void reports.push(report) });
  const trained = peft.parameters().filter(({ requiresGrad }) => requiresGrad);
  const weights = await Promise.all(trained.map(async (weight) => [...(await weight.data())]));
  const forwards = forward.mock.calls.length;
  for (const parameter of peft.parameters()) parameter.dispose();
  return { reports, forwards, weights };
}

function expectSame(actual: Outcome, expected: Outcome): void {
  for (const [i, { loss, gradNorm }] of expected.reports.entries()) {
    expect(Math.abs(actual.reports[i].loss - loss)).toBeLessThan(2e-4 * loss);
    expect(Math.abs(actual.reports[i].gradNorm - gradNorm)).toBeLessThan(2e-3 * gradNorm);
  }
  const worst = Math.max(...expected.weights.map((weight, i) => Math.max(...weight.map((value, at) => Math.abs(value - actual.weights[i][at])))));
  expect(worst).toBeLessThan(2e-3);
}

describe("the Trainer on the GPU", () => {
  it.each([
    { gradientAccumulationSteps: 1, maxSteps: 14 },
    { gradientAccumulationSteps: 3, maxSteps: 8, maxGradNorm: 0.1, schedule: "cosine" },
  ] as const)("does the CPU's steps, most of them replayed: %j", async (args) => {
    const onGpu = await train("webgpu", args);
    const onCpu = await train("cpu", args);
    expect(onGpu.reports).toHaveLength(args.maxSteps);
    expect(onCpu.forwards).toBe(args.maxSteps * args.gradientAccumulationSteps);
    expect(onGpu.forwards).toBeLessThan(onCpu.forwards / 2);
    expectSame(onGpu, onCpu);
  });

  it("trains a model whose work changes from run to run, and says that it is not captured", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const restless = (model: LlamaForCausalLM): void => {
      const { norm } = model.model;
      const normalise = norm.forward.bind(norm);
      let run = 0;
      norm.forward = (x) => mul(normalise(x), 1 + 0.01 * (run++ % 5));
    };
    const onGpu = await train("webgpu", { maxSteps: 9 }, restless);
    const warnings = warn.mock.calls.map(([message]) => String(message));
    warn.mockRestore();
    expectSame(onGpu, await train("cpu", { maxSteps: 9 }, restless));
    expect(warnings.length).toBeGreaterThan(0);
    for (const warning of warnings) expect(warning).toMatch(/^training goes on without captured steps, which are faster: this function cannot be captured: from one run to the next, /);
  });

  it("keeps as many buffers from step to step, and makes none, once it replays", async () => {
    const seen: unknown[] = [];
    const model = await llamaOn("webgpu");
    const note = (): void => void seen.push({ ...currentGpu()?.pool.counts, bindGroups: currentGpu()?.stream.counts.bindGroups });
    await new Trainer(model, rows, { batchSize: 4, maxSteps: 16 }).train({ onStep: note });
    expect(new Set(seen.slice(8).map((one) => JSON.stringify(one))).size).toBe(1);
    for (const parameter of model.parameters()) parameter.dispose();
  });
});
