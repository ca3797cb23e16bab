import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DeloraConfig, DeloraLayer, getPeftModel, LoraConfig, PeftModel } from "../../../src/delora/index.ts";
import { serializeSafetensors } from "../../../src/io/index.ts";
import { LlamaForCausalLM } from "../../../src/nn/llama-for-causal-lm.ts";
import { mul, noGrad } from "../../../src/ops/index.ts";
import { relativeError } from "../golden-run.ts";
import { ALL_TARGETS, logitsOf, TINY_IDS, tinyLlama } from "../tiny-llama.ts";

const config = new DeloraConfig({ r: 2, deloraLambda: 3, initWeights: false });
const bits = (model: { stateDict(): Map<string, { dataSync(): Iterable<number> }> }): [string, number[]][] =>
  [...model.stateDict()].map(([name, tensor]) => [name, [...tensor.dataSync()]]);

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "polargrad-quirks-"));
});
afterEach(() => rm(dir, { recursive: true }));

describe("a row's own adapter", () => {
  it("is refused, for the loss as for logits", () => {
    const peft = getPeftModel(tinyLlama(), config);
    const inputs = { inputIds: TINY_IDS, labels: TINY_IDS, adapterNames: ["default", "__base__"] };
    expect(() => peft.forward(inputs)).toThrow("adapterNames is not supported");
  });
});

describe("disableAdapter", () => {
  it("is the base bit for bit, and restores what was: frozen stays frozen, merged stays merged", async () => {
    const base = logitsOf(tinyLlama());
    for (const merged of [false, true]) {
      const peft = getPeftModel(tinyLlama(), config);
      peft.setRequiresGrad("default", false);
      if (merged) await peft.mergeAdapter();
      const before = bits(peft);
      const logits = logitsOf(peft);
      expect(peft.disableAdapter(() => logitsOf(peft))).toEqual(base);
      expect(bits(peft)).toEqual(before);
      expect(logitsOf(peft)).toEqual(logits);
      expect(peft.parameters().some(({ requiresGrad }) => requiresGrad)).toBe(false);
      expect(peft.getModelStatus().mergedAdapters).toEqual(merged ? ["default"] : []);
    }
  });

  it("restores after an error, and after what is async has ended", async () => {
    const peft = getPeftModel(tinyLlama(), config);
    const logits = logitsOf(peft);
    const base = logitsOf(tinyLlama());
    expect(() =>
      peft.disableAdapter(() => {
        throw new Error("mine");
      }),
    ).toThrow("mine");
    expect(logitsOf(peft)).toEqual(logits);
    const pending = peft.disableAdapter(async () => {
      await Promise.resolve();
      return logitsOf(peft);
    });
    expect(logitsOf(peft)).toEqual(base);
    expect(await pending).toEqual(base);
    expect(logitsOf(peft)).toEqual(logits);
    await expect(peft.disableAdapter(() => Promise.reject(new Error("later")))).rejects.toThrow("later");
    expect(logitsOf(peft)).toEqual(logits);
  });
});

describe("unmerging", () => {
  it.each([
    ["DeLoRA", config.with({ targetModules: ALL_TARGETS })],
    ["LoRA", new LoraConfig({ r: 3, initLoraWeights: false, targetModules: ALL_TARGETS })],
    ["DoRA", new LoraConfig({ r: 3, initLoraWeights: false, useDora: true, targetModules: ALL_TARGETS })],
  ])("gives back every bit, of 20 rounds and of two adapters: %s", async (_, one) => {
    const peft = getPeftModel(tinyLlama(), one);
    peft.addAdapter("second", one.with({ targetModules: ["q_proj", "up_proj"] }));
    const before = bits(peft);
    for (let round = 0; round < 20; round++) {
      await peft.mergeAdapter({ adapterNames: ["second"] });
      if (round % 2 === 0) await peft.mergeAdapter({ adapterNames: ["default", "second"] });
      expect(bits(peft)).not.toEqual(before);
      peft.unmergeAdapter();
    }
    expect(bits(peft)).toEqual(before);
  });
});

describe("stored column norms that are not this base's", () => {
  it("warn with the modules' names, and are used", async () => {
    const peft = getPeftModel(tinyLlama(), config);
    await peft.savePretrained(dir);
    const other = tinyLlama();
    const changed = other.getSubmodule("model.layers.1.self_attn.v_proj").parameters()[0];
    changed.assign(noGrad(() => mul(changed, 1.01)));
    const warnings: string[] = [];
    const loaded = await PeftModel.fromPretrained(other, dir, { warn: (text) => void warnings.push(text) });
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("w_norm");
    expect(warnings[0]).toContain("model.layers.1.self_attn.v_proj");
    expect(warnings[0]).not.toContain("q_proj");
    expect([...loaded.getPeftModelStateDict()].map(([name, tensor]) => [name, tensor.dataSync()])).toEqual(
      [...peft.getPeftModelStateDict()].map(([name, tensor]) => [name, tensor.dataSync()]),
    );
    changed.assign(noGrad(() => mul(changed, 1 / 1.0105)));
    warnings.length = 0;
    await PeftModel.fromPretrained(tinyLlama(), dir, { warn: (text) => void warnings.push(text) });
    expect(warnings).toEqual([]);
  });
});

describe("an adapter added in eval mode", () => {
  it("does not drop anything out before the model trains", () => {
    const peft = getPeftModel(tinyLlama(), config).eval();
    peft.addAdapter("second", config.with({ moduleDropout: 0.9 }));
    peft.setAdapter("second");
    expect(logitsOf(peft)).toEqual(logitsOf(peft));
    peft.train();
    expect(logitsOf(peft)).not.toEqual(logitsOf(peft));
  });
});

describe("an adapter on a tied head", () => {
  it("is merged into the head alone, and the merged model can be saved and loaded", async () => {
    const tied = tinyLlama({ tied: true });
    const embedding = [...tied.parameters()[0].dataSync()];
    const peft = getPeftModel(tied, config.with({ targetModules: ["lm_head"] }), "default", { warn: () => undefined });
    const expected = logitsOf(peft);
    const merged = await peft.mergeAndUnload();
    expect(relativeError(logitsOf(merged), expected)).toBeLessThan(1e-6);
    expect([...merged.parameters()[0].dataSync()]).toEqual(embedding);
    await merged.savePretrained(dir);
    const loaded = await LlamaForCausalLM.fromPretrained(dir, { device: "cpu" });
    expect(relativeError(logitsOf(loaded), expected)).toBeLessThan(1e-6);
  });
});

describe("a file for Llama-3.2-3B with r = 32 on q_proj and v_proj", () => {
  it("has 37,417,520 bytes", () => {
    // Names are those of a small model with as many layers; shapes are the large one's.
    const layer = new DeloraConfig({ r: 1 });
    const small = tinyLlama({ layers: 28 });
    const names = [...getPeftModel(small, layer).getPeftModelStateDict().keys()];
    expect(names).toHaveLength(28 * 2 * 4);
    const out = (name: string): number => (name.includes("q_proj") ? 3072 : 1024);
    const shapeOf = (name: string): number[] => {
      if (name.endsWith(DeloraLayer.stateNames.a)) return [32, 3072];
      if (name.endsWith(DeloraLayer.stateNames.b)) return [out(name), 32];
      return name.endsWith(DeloraLayer.stateNames.lambda) ? [1] : [3072];
    };
    const tensors = names.map((name) => {
      const shape = shapeOf(name);
      return [name, { dtype: "F32", shape, data: new Float32Array(shape.reduce((size, n) => size * n, 1)) }] as const;
    });
    expect(serializeSafetensors(tensors, { format: "pt" }).byteLength).toBe(37_417_520);
  });
});
