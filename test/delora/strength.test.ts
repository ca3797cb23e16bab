import { describe, expect, it } from "vitest";
import { DeloraConfig, getPeftModel, LoraConfig } from "../../src/delora/index.ts";
import { manualSeed } from "../../src/ops/index.ts";
import { Trainer, type TrainingArguments } from "../../src/train/index.ts";
import { TINY_IDS, tinyLlama } from "./tiny-llama.ts";

const rows = TINY_IDS.map((inputIds) => ({ inputIds, labels: inputIds }));

/** λ of the first module, and whether A moved, after two steps. */
async function trained(args: TrainingArguments): Promise<{ lambda: number; moved: boolean }> {
  manualSeed(3);
  const peft = getPeftModel(tinyLlama(), new DeloraConfig({ r: 2, deloraLambda: 4, initWeights: false }));
  const named = new Map(peft.namedParameters());
  const prefix = "base_model.model.model.layers.0.self_attn.q_proj.delora_";
  const a = named.get(`${prefix}A.default`);
  const before = a?.dataSync().slice();
  await new Trainer(peft, rows, { batchSize: 2, maxSteps: 2, learningRate: 0.01, schedule: "constant", ...args }).train();
  const lambda = named.get(`${prefix}lambda.default`)?.dataSync()[0] ?? Number.NaN;
  return { lambda, moved: a?.dataSync().some((value, i) => value !== before?.[i]) ?? false };
}

describe("the strengths λ", () => {
  it("have a learning rate of their own", async () => {
    const same = await trained({});
    const faster = await trained({ strengthLearningRate: 0.5 });
    const frozen = await trained({ strengthLearningRate: 0 });
    expect(Math.abs(same.lambda - 4)).toBeLessThan(0.03);
    expect(Math.abs(faster.lambda - 4)).toBeGreaterThan(0.1);
    expect(frozen).toEqual({ lambda: 4, moved: true });
  });

  it("have a weight decay of their own", async () => {
    const spared = await trained({ strengthLearningRate: 0.1, strengthWeightDecay: 0, weightDecay: 0.5 });
    const decayed = await trained({ strengthLearningRate: 0.1, strengthWeightDecay: 0.5 });
    const plain = await trained({ strengthLearningRate: 0.1 });
    expect(decayed.lambda).toBeLessThan(plain.lambda - 0.2);
    expect(spared.lambda).toBeGreaterThan(plain.lambda - 0.2);
  });

  it("are those of the active adapters, and none of LoRA's", () => {
    const peft = getPeftModel(tinyLlama(), new DeloraConfig({ r: 2 }));
    peft.addAdapter("b", new DeloraConfig({ r: 1, targetModules: ["o_proj"] }));
    expect(peft.strengthParameters()).toHaveLength(4);
    peft.setAdapter(["default", "b"]);
    expect(peft.strengthParameters()).toHaveLength(6);
    expect(getPeftModel(tinyLlama(), new LoraConfig()).strengthParameters()).toEqual([]);
  });
});
