import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { DeloraConfig, getPeftModel } from "../../src/delora/index.ts";
import { parseSafetensors } from "../../src/io/index.ts";
import { type FromPretrainedOptions, generate, LlamaForCausalLM } from "../../src/nn/index.ts";
import { cast, manualSeed, noGrad, norm } from "../../src/ops/index.ts";
import { isStored } from "../../src/tensor/dtype.ts";
import { PolargradError } from "../../src/tensor/errors.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { AdamW, Trainer, TrainingError } from "../../src/train/index.ts";
import { relativeError } from "./llama-golden.ts";
import { expectedBytes, parameterBytes, writeStored } from "./stored-checkpoint.ts";
import { tinyConfig } from "./tiny-llama.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "polargrad-stored-"));
});
afterEach(() => rm(dir, { recursive: true }));

const ids = [[3, 1, 4, 1, 5, 9]];
const load = (options: FromPretrainedOptions = {}): Promise<LlamaForCausalLM> =>
  LlamaForCausalLM.fromPretrained(dir, { device: "cpu", ...options });
const logits = (model: LlamaForCausalLM): ArrayLike<number> =>
  noGrad(() => model.forward({ inputIds: ids }).logits).dataSync();
const dtypes = (model: LlamaForCausalLM): Set<string> =>
  new Set(model.parameters().map(({ dtype, rank }) => `${dtype} of rank ${rank}`));

describe.each(["f16", "bf16"] as const)("a checkpoint in %s", (format) => {
  it.each([{}, { tie_word_embeddings: true, attention_bias: true, mlp_bias: true }])(
    "stays so in memory, in half the bytes, frozen, and computes what it computes as f32: %j",
    async (overrides) => {
      await writeStored(dir, format, overrides);
      const [stored, plain] = [await load(), await load({ dtype: "f32" })];
      expect(dtypes(stored)).toEqual(new Set([`${format} of rank 2`, "f32 of rank 1"]));
      expect(dtypes(plain)).toEqual(new Set(["f32 of rank 2", "f32 of rank 1"]));
      expect(await parameterBytes(stored)).toBe(expectedBytes(stored).stored);
      expect(await parameterBytes(plain)).toBe(expectedBytes(plain).f32);
      expect(stored.numParameters()).toBe(plain.numParameters());
      expect(stored.numParameters({ onlyTrainable: true })).toBe(0);
      expect(plain.numParameters({ onlyTrainable: true })).toBe(plain.numParameters());
      expect(logits(stored)).toEqual(logits(plain));
      const options = { maxNewTokens: 8 };
      expect(await generate(stored, [3, 1], options)).toEqual(await generate(plain, [3, 1], options));
    },
  );

  it("gives an adapter on it the loss and the gradients that it has on f32, layers recomputed or not", async () => {
    await writeStored(dir, format);
    const config = new DeloraConfig({ r: 2, targetModules: ["q_proj", "down_proj"], initWeights: false });
    const [stored, plain] = [await load(), await load({ dtype: "f32" })];
    const run = async (model: LlamaForCausalLM): Promise<unknown[]> => {
      const { loss } = model.forward({ inputIds: ids, labels: ids });
      loss?.backward();
      const trained = model.parameters().filter(({ requiresGrad }) => requiresGrad);
      const gradients = await Promise.all(trained.map(({ grad }) => grad?.data()));
      model.zeroGrad();
      return [await loss?.item(), ...gradients];
    };
    for (const model of [stored, plain]) getPeftModel(model, config);
    const adapter = [...stored.stateDict()].filter(([name]) => name.includes("delora"));
    plain.loadStateDict(new Map(adapter), { strict: false });
    const wanted = await run(plain);
    expect(wanted).toHaveLength(1 + 4 * 3);
    expect(await run(stored)).toEqual(wanted);
    stored.gradientCheckpointingEnable();
    expect(await run(stored)).toEqual(wanted);
  });

  it("is saved byte for byte as it was, and from f32 in f32", async () => {
    await writeStored(dir, format, { tie_word_embeddings: true, attention_bias: true });
    const [weights, config] = [join(dir, "model.safetensors"), join(dir, "config.json")];
    const before = [await readFile(weights), await readFile(config, "utf8")];
    const plain = await load({ dtype: "f32" });
    await (await load()).savePretrained(dir);
    expect([await readFile(weights), await readFile(config, "utf8")]).toEqual(before);
    await plain.savePretrained(dir);
    const written = parseSafetensors(await readFile(weights)).tensors;
    expect(new Set([...written.values()].map(({ dtype }) => dtype))).toEqual(new Set(["F32"]));
    expect(JSON.parse(await readFile(config, "utf8")).torch_dtype).toBe("float32");
  });

  it("is made from an f32 checkpoint when asked, vectors unrounded", async () => {
    const source = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 4, device: "cpu" });
    for (const parameter of source.parameters()) if (parameter.rank === 1) parameter.dataSync()[0] = 1 + 2 ** -20;
    await source.savePretrained(dir);
    expect(dtypes(await load())).toEqual(new Set(["f32 of rank 2", "f32 of rank 1"]));
    const model = await load({ dtype: format });
    expect(dtypes(model)).toEqual(new Set([`${format} of rank 2`, "f32 of rank 1"]));
    expect(model.stateDict().get("model.norm.weight")?.dataSync()[0]).toBe(1 + 2 ** -20);
    // What 16 bits would round is written as F32, and then the configuration does not promise 16 bits.
    const target = join(dir, "again");
    await model.savePretrained(target);
    const again = await LlamaForCausalLM.fromPretrained(target, { device: "cpu" });
    expect(dtypes(again)).toEqual(dtypes(model));
    expect(logits(again)).toEqual(logits(model));
    expect(JSON.parse(await readFile(join(target, "config.json"), "utf8")).torch_dtype).toBe("float32");
  });

  it("can be turned into the other format, and takes state dicts of any dtype", async () => {
    await writeStored(dir, format);
    const other = format === "f16" ? "bf16" : "f16";
    expect(dtypes(await load({ dtype: other }))).toContain(`${other} of rank 2`);
    const [stored, plain] = [await load(), await load({ dtype: "f32" })];
    const wanted = logits(plain);
    const fresh = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 9, device: "cpu" });
    fresh.loadStateDict(stored.stateDict());
    expect(dtypes(fresh)).toEqual(new Set(["f32 of rank 2", "f32 of rank 1"]));
    expect(logits(fresh)).toEqual(wanted);
    stored.loadStateDict(LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 9, device: "cpu" }).stateDict());
    stored.loadStateDict(plain.stateDict());
    expect(dtypes(stored)).toContain(`${format} of rank 2`);
    expect(logits(stored)).toEqual(wanted);
  });

  it("says how to train all of it", async () => {
    await writeStored(dir, format);
    const model = await load();
    const advice = `"model.embed_tokens.weight" is ${format}, which carries no gradient; load the model with dtype: "f32"`;
    expect(() => model.requiresGrad_()).toThrow(PolargradError);
    expect(() => model.requiresGrad_()).toThrow(advice);
    expect(model.parameters().some(({ requiresGrad }) => requiresGrad)).toBe(false);
    expect(() => new Trainer(model, [{ inputIds: [1, 2], labels: [1, 2] }])).toThrow(TrainingError);
    expect(() => new AdamW(model.parameters().filter(({ requiresGrad }) => requiresGrad))).toThrow("is anything trainable?");
    expect(() => model.forward({ inputIds: ids, labels: ids }).loss?.backward()).toThrow("nothing was recorded");
  });
});

it("refuses f16 for weights beyond its range, and dtypes that there are not", async () => {
  const model = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 4, device: "cpu" });
  const [first] = model.parameters();
  first.dataSync()[3] = 1e5;
  await model.savePretrained(dir);
  await expect(load({ dtype: "f16" })).rejects.toThrow(
    '"model.embed_tokens.weight" holds values that f16 cannot (it ends at 65504); load it with dtype: "bf16"',
  );
  expect(dtypes(await load({ dtype: "bf16" }))).toContain("bf16 of rank 2");
  await expect(load({ dtype: "float16" as "f16" })).rejects.toThrow(
    'fromPretrained: dtype must be one of "auto", "f32", "f64", "f16", "bf16", got "float16"',
  );
  expect((await load()).parameters().some(({ dtype }) => isStored(dtype))).toBe(false);
});

describe.each([
  { quantize: "q8_0", bytes: 34, error: 0.01 },
  { quantize: "q4_0", bytes: 18, error: 0.13 },
  { quantize: "q4_1", bytes: 20, error: 0.13 },
] as const)("a checkpoint loaded as $quantize", ({ quantize, bytes, error }) => {
  const blocks = { hidden_size: 32, intermediate_size: 64 };

  it.each([false, true])("holds every matrix in blocks, head and embedding too (tied: %s), and the vectors in f32", async (tied) => {
    await writeStored(dir, "bf16", { ...blocks, tie_word_embeddings: tied });
    const [model, plain] = [await load({ quantize }), await load({ dtype: "f32" })];
    expect(dtypes(model)).toEqual(new Set([`${quantize} of rank 2`, "f32 of rank 1"]));
    const count = (rank: number): number =>
      model.parameters().filter((p) => p.rank === rank).reduce((sum, { size }) => sum + size, 0);
    expect(await parameterBytes(model)).toBe(4 * count(1) + (bytes / 32) * count(2));
    expect(model.numParameters()).toBe(plain.numParameters());
    expect(model.numParameters({ onlyTrainable: true })).toBe(0);
    for (const [name, parameter] of model.namedParameters()) {
      const wanted = plain.stateDict().get(name)?.dataSync() ?? [];
      expect(relativeError(parameter.dataSync(), wanted), name).toBeLessThan(parameter.rank === 1 ? 1e-9 : error);
    }
    // What it computes is what its decoded weights compute.
    plain.loadStateDict(model.stateDict());
    expect(logits(plain)).toEqual(logits(model));
    const target = join(dir, "decoded");
    await model.savePretrained(target);
    const again = await LlamaForCausalLM.fromPretrained(target, { device: "cpu" });
    expect(dtypes(again)).toEqual(new Set(["f32 of rank 2", "f32 of rank 1"]));
    expect(logits(again)).toEqual(logits(model));
    // A state dict in f32 is quantised on its way in.
    model.loadStateDict((await load({ dtype: "f32" })).stateDict());
    expect(dtypes(model)).toContain(`${quantize} of rank 2`);
    expect(relativeError(logits(model), logits(again))).toBeLessThan(1e-6);
  });

  it("carries a DeLoRA adapter, which merges into f32 and comes out bit for bit", async () => {
    await writeStored(dir, "bf16", blocks);
    const model = await load({ quantize });
    const config = new DeloraConfig({ r: 2, targetModules: ["q_proj", "down_proj"], initWeights: false });
    const peft = getPeftModel(model, config);
    const before = logits(model);
    const state = model.stateDict();
    const path = "model.layers.0.self_attn.q_proj";
    const weight = noGrad(() => cast(state.get(`${path}.base_layer.weight`) as Tensor, { dtype: "f32" }));
    const norms = noGrad(() => norm(weight, { axes: 0 })).dataSync();
    expect(state.get(`${path}.delora_w_norm.default`)?.dataSync()).toEqual(norms);
    await peft.mergeAdapter({ safeMerge: true });
    expect(relativeError(logits(model), before)).toBeLessThan(1e-5);
    peft.unmergeAdapter();
    expect(logits(model)).toEqual(before);
    expect(dtypes(await peft.mergeAndUnload())).toEqual(
      new Set([`${quantize} of rank 2`, "f32 of rank 2", "f32 of rank 1"]),
    );
    expect(relativeError(logits(model), before)).toBeLessThan(1e-5);
  });

  it("leaves matrices of other rows as they are, aloud", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    await writeStored(dir, "bf16", { ...blocks, intermediate_size: 40 });
    const model = await load({ quantize });
    expect(dtypes(model)).toEqual(new Set([`${quantize} of rank 2`, "bf16 of rank 2", "f32 of rank 1"]));
    expect(warn.mock.calls.flat().join()).toMatch(
      new RegExp(`rows are no multiple of 32; they are not kept in ${quantize}: "model.layers.0.mlp.down_proj.weight", "model.layers.1`),
    );
    warn.mockRestore();
    await expect(load({ quantize, dtype: "f64" })).rejects.toThrow("dtype must be another than f64 with quantize");
    await expect(load({ quantize: "int8" as "q8_0" })).rejects.toThrow('quantize must be one of "q8_0", "q4_0", "q4_1", got "int8"');
  });
});

it("a fine-tune on a q8_0 base loses within 1 % of what it loses on f32", async () => {
  const base = join(import.meta.dirname, "../../models/sotu-1m");
  const text = Array.from({ length: 2 }, (_, row) => Array.from({ length: 48 }, (_, i) => (row * 977 + i * i * 31 + 7) % 2048));
  const run = async (options: FromPretrainedOptions): Promise<number[]> => {
    manualSeed(5);
    const model = await LlamaForCausalLM.fromPretrained(base, { device: "cpu", ...options });
    const peft = getPeftModel(model, new DeloraConfig({ r: 4, targetModules: ["q_proj", "v_proj", "down_proj"] }));
    const optimizer = new AdamW(peft.parameters().filter(({ requiresGrad }) => requiresGrad), { lr: 1e-2, weightDecay: 0 });
    const losses: number[] = [];
    for (let step = 0; step < 8; step++) {
      const { loss } = peft.train().forward({ inputIds: text, labels: text });
      loss?.backward();
      losses.push((await loss?.item()) ?? Number.NaN);
      optimizer.step();
      optimizer.zeroGrad();
    }
    return losses;
  };
  const [plain, quantized] = [await run({}), await run({ quantize: "q8_0" })];
  const worst = Math.max(...plain.map((loss, step) => Math.abs(quantized[step] - loss) / loss));
  console.log(`8 steps on q8_0 against f32: ${plain[0].toFixed(3)} to ${plain[7].toFixed(3)}, at most ${(100 * worst).toFixed(3)} % apart`);
  expect(plain[7]).toBeLessThan(0.95 * plain[0]);
  expect(worst).toBeLessThan(0.01);
});
