import { describe, expect, it } from "vitest";
import { DeloraConfig, getPeftModel, LoraConfig, type PeftConfig } from "../../src/delora/index.ts";
import { cast, manualSeed, noGrad, norm } from "../../src/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { relativeError } from "./golden-run.ts";
import { ALL_TARGETS, logitsOf, TINY_IDS, tinyLlama } from "./tiny-llama.ts";

type Half = "f16" | "bf16";

/** The tiny Llama with its matrices stored in 16 bits. */
function halfLlama(dtype: Half): ReturnType<typeof tinyLlama> {
  const model = tinyLlama().requiresGrad_(false);
  for (const parameter of model.parameters())
    if (parameter.rank === 2) parameter.assign(noGrad(() => cast(parameter, { dtype })));
  return model;
}

const rounded = (x: Tensor, dtype: Half): ArrayLike<number> =>
  noGrad(() => cast(cast(x, { dtype }), { dtype: "f32" })).dataSync();

const NEW = { targetModules: ALL_TARGETS, r: 2 };
const CONFIGS: [string, PeftConfig][] = [
  ["DeLoRA", new DeloraConfig({ ...NEW, deloraLambda: 2.3, initWeights: false })],
  ["LoRA", new LoraConfig({ ...NEW, initLoraWeights: false })],
  ["DoRA", new LoraConfig({ ...NEW, initLoraWeights: false, useDora: true })],
];

describe.each<Half>(["f16", "bf16"])("a base of %s", (dtype) => {
  it.each(CONFIGS)("keeps its 16 bits under %s, which is f32 and starts rounded to them", (_, config) => {
    manualSeed(2);
    const peft = getPeftModel(halfLlama(dtype), config);
    for (const [name, tensor] of peft.stateDict()) {
      const isBase = tensor.rank === 2 && !/delora_|lora_/.test(name);
      expect(tensor.dtype, name).toBe(isBase ? dtype : "f32");
      if (/delora_|lora_/.test(name)) expect(tensor.dataSync(), name).toEqual(rounded(tensor, dtype));
    }
    const { loss } = peft.train().forward({ inputIds: TINY_IDS, labels: TINY_IDS });
    loss?.backward();
    expect(peft.parameters().filter(({ grad }) => grad)).not.toHaveLength(0);
  });

  it("takes the column norms of what it stores, and rounds λ", () => {
    const peft = getPeftModel(halfLlama(dtype), CONFIGS[0][1]);
    const prefix = "base_model.model.model.layers.0.mlp.up_proj.";
    const state = peft.stateDict();
    const weight = noGrad(() => cast(state.get(`${prefix}base_layer.weight`) as Tensor, { dtype: "f32" }));
    const expected = rounded(noGrad(() => norm(weight, { axes: 0 })), dtype);
    expect(state.get(`${prefix}delora_w_norm.default`)?.dataSync()).toEqual(expected);
    const lambda = state.get(`${prefix}delora_lambda.default`)?.dataSync()[0];
    expect(lambda).toBe(dtype === "bf16" ? 2.296875 : 2.30078125);
  });

  it.each(CONFIGS)("is merged with %s in 16 bits, and unmerged bit for bit", async (_, config) => {
    manualSeed(2);
    const peft = getPeftModel(halfLlama(dtype), config);
    const before = logitsOf(peft);
    await peft.mergeAdapter({ safeMerge: true });
    const merged = logitsOf(peft);
    expect(relativeError(merged, before)).toBeLessThan(dtype === "bf16" ? 0.03 : 0.005);
    expect(relativeError(merged, before)).toBeGreaterThan(0);
    peft.unmergeAdapter();
    expect(logitsOf(peft)).toEqual(before);
    const model = await peft.mergeAndUnload();
    expect(logitsOf(model)).toEqual(merged);
    for (const [name, tensor] of model.stateDict()) if (tensor.rank === 2) expect(tensor.dtype, name).toBe(dtype);
  });

  it("has copies of modules in f32, to be trained", () => {
    const peft = getPeftModel(halfLlama(dtype), new DeloraConfig({ r: 1, modulesToSave: ["lm_head"] }));
    const state = peft.stateDict();
    const copy = state.get("base_model.model.lm_head.modules_to_save.default.weight");
    expect(copy).toMatchObject({ dtype: "f32", requiresGrad: true });
    expect(state.get("base_model.model.lm_head.original_module.weight")?.dtype).toBe(dtype);
  });
});
