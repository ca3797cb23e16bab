import { beforeEach, describe, expect, it, vi } from "vitest";
import {
  AdaptedLinear,
  DeloraConfig,
  getPeftModel,
  LoraConfig,
  type PeftConfig,
  type PeftModel,
  TargetModulesError,
} from "../../src/delora/index.ts";
import type { LlamaForCausalLM } from "../../src/nn/llama-for-causal-lm.ts";
import { manualSeed } from "../../src/ops/index.ts";
import { relativeError } from "./golden-run.ts";
import { ALL_METHODS, logitsOf, TINY_IDS, tinyLlama } from "./tiny-llama.ts";

const QV = ["q_proj", "v_proj"];
beforeEach(() => manualSeed(11));

describe("getPeftModel", () => {
  it.each(ALL_METHODS)(
    "of %s trains the adapter only, and changes nothing at first by default",
    (_, config) => {
      const model = tinyLlama();
      const before = logitsOf(model);
      const zero =
        config instanceof DeloraConfig
          ? config.with({ initWeights: true })
          : (config as LoraConfig).with({ initLoraWeights: true });
      const peft = getPeftModel(model, zero);
      expect(logitsOf(peft)).toEqual(before);
      for (const [name, { requiresGrad }] of peft.namedParameters()) {
        expect(requiresGrad, name).toBe(/(delora|lora)_[A-Za-z]+\.default/.test(name));
      }
      const { loss } = peft.forward({ inputIds: TINY_IDS, labels: TINY_IDS });
      loss?.backward();
      for (const [name, { grad, requiresGrad }] of peft.namedParameters())
        expect(grad !== null, name).toBe(requiresGrad);
    },
  );

  it("names DeLoRA's tensors as PEFT does", () => {
    const peft = getPeftModel(tinyLlama(), new DeloraConfig({ r: 2, targetModules: QV }));
    const q = "base_model.model.model.layers.0.self_attn.q_proj";
    expect([...peft.stateDict().keys()].slice(0, 6)).toEqual([
      "base_model.model.model.embed_tokens.weight",
      `${q}.base_layer.weight`,
      `${q}.delora_A.default`,
      `${q}.delora_B.default`,
      `${q}.delora_lambda.default`,
      `${q}.delora_w_norm.default`,
    ]);
    expect(peft.namedParameters().map(([name]) => name)).not.toContain(`${q}.delora_w_norm.default`);
    expect([...peft.getPeftModelStateDict().keys()].slice(0, 4)).toEqual(
      ["A", "B", "lambda", "w_norm"].map((part) => `${q}.delora_${part}`),
    );
  });

  it("names LoRA's tensors as PEFT does, with the adapter's name", () => {
    const peft = getPeftModel(tinyLlama(), new LoraConfig({ r: 3, targetModules: QV }), "mine");
    const q = "base_model.model.model.layers.0.self_attn.q_proj";
    const names = [`${q}.base_layer.weight`, `${q}.lora_A.mine.weight`, `${q}.lora_B.mine.weight`];
    expect([...peft.stateDict().keys()].slice(1, 4)).toEqual(names);
    expect([...peft.getPeftModelStateDict().keys()].slice(0, 2)).toEqual([
      `${q}.lora_A.weight`,
      `${q}.lora_B.weight`,
    ]);
  });

  // Recorded with PEFT 0.21 on a Llama of the same size.
  it.each<[PeftConfig, string]>([
    [
      new DeloraConfig({ r: 2, targetModules: QV }),
      "trainable params: 228 || all params: 5,172 || trainable%: 4.4084",
    ],
    [
      new LoraConfig({ r: 3, targetModules: QV }),
      "trainable params: 336 || all params: 5,280 || trainable%: 6.3636",
    ],
  ])("prints PEFT's line", (config, line) => {
    const print = vi.spyOn(console, "log").mockImplementation(() => undefined);
    expect(getPeftModel(tinyLlama(), config).printTrainableParameters()).toBe(line);
    expect(print).toHaveBeenCalledExactlyOnceWith(line);
    print.mockRestore();
  });

  it("adapts q_proj and v_proj of a Llama by default, and exact names where given", () => {
    const adapted = (peft: PeftModel<LlamaForCausalLM>): string[] =>
      peft.baseModel
        .namedModules()
        .flatMap(([path, module]) => (module instanceof AdaptedLinear ? [path] : []));
    const peft = getPeftModel(tinyLlama(), new DeloraConfig());
    expect(adapted(peft)).toEqual(
      [0, 1].flatMap((i) => QV.map((name) => `model.layers.${i}.self_attn.${name}`)),
    );
    expect(peft.peftConfig.default.targetModules).toEqual(QV);
    const exact = ["model.layers.1.mlp.up_proj", "lm_head", "1.self_attn.k_proj"];
    expect(adapted(getPeftModel(tinyLlama(), new DeloraConfig({ targetModules: exact })))).toEqual([
      "model.layers.1.self_attn.k_proj",
      "model.layers.1.mlp.up_proj",
      "lm_head",
    ]);
  });

  it("runs in f64 on an f64 base", () => {
    const peft = getPeftModel(tinyLlama({ dtype: "f64" }), ALL_METHODS[0][1]);
    for (const [name, { dtype }] of peft.stateDict()) expect(dtype, name).toBe("f64");
    expect(peft.forward({ inputIds: TINY_IDS }).logits.dtype).toBe("f64");
  });

  it.each<[string, readonly string[], string]>([
    [
      "matches nothing",
      ["proj", "query"],
      "Target modules {'proj', 'query'} not found in the base model. Please check the target modules",
    ],
    [
      "is empty",
      [],
      "No `target_modules` passed but also no `target_parameters` found. Please check the values",
    ],
    [
      "is an embedding",
      ["embed_tokens"],
      "(model.embed_tokens) is not supported. Currently, only `torch.nn.Linear` is supported.",
    ],
    ["is a container", ["q_proj", "mlp"], "Target module LlamaMLP (model.layers.0.mlp) is not supported."],
  ])("refuses a target list that %s, and says what there is", (_, targetModules, message) => {
    const model = tinyLlama();
    const names = [...model.stateDict().keys()];
    const inject = (): unknown => getPeftModel(model, new DeloraConfig({ targetModules }));
    expect(inject).toThrow(TargetModulesError);
    expect(inject).toThrow(message);
    expect(inject).toThrow(
      "Its linear modules are called q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head",
    );
    expect([...model.stateDict().keys()]).toEqual(names);
    expect(model.parameters().every(({ requiresGrad }) => requiresGrad)).toBe(true);
  });

  it("refuses names that cannot be an adapter's", () => {
    for (const name of ["", "a.b", "../up"]) {
      expect(() => getPeftModel(tinyLlama(), new DeloraConfig(), name)).toThrow(
        `got ${JSON.stringify(name)}`,
      );
    }
  });
});

describe.each(ALL_METHODS)("merging %s", (_, config) => {
  it("gives a plain model with the adapted model's logits", async () => {
    const peft = getPeftModel(tinyLlama(), config);
    const expected = logitsOf(peft);
    const merged = await peft.mergeAndUnload();
    expect([...merged.stateDict().keys()]).toEqual([...tinyLlama().stateDict().keys()]);
    expect(relativeError(logitsOf(merged), expected)).toBeLessThan(1e-5);
    expect(relativeError(logitsOf(tinyLlama()), expected)).toBeGreaterThan(1e-2);
  });

  it("leaves tied embeddings alone", async () => {
    const peft = getPeftModel(tinyLlama({ tied: true }), config.with({ targetModules: ["lm_head"] }));
    const expected = logitsOf(peft);
    expect(relativeError(logitsOf(await peft.mergeAndUnload()), expected)).toBeLessThan(1e-5);
  });

  it("is not done by unload", () => {
    const before = logitsOf(tinyLlama());
    const model = getPeftModel(tinyLlama(), config).unload();
    expect(logitsOf(model)).toEqual(before);
    expect([...model.stateDict().keys()]).toEqual([...tinyLlama().stateDict().keys()]);
  });
});

describe("adapterReport", () => {
  it("tells strength, size and bound of every module", async () => {
    const config = new DeloraConfig({
      r: 2,
      deloraLambda: -3,
      targetModules: ["q_proj"],
      initWeights: false,
    });
    const rows = await getPeftModel(tinyLlama(), config).adapterReport();
    expect(rows.map(({ name }) => name)).toEqual([0, 1].map((i) => `model.layers.${i}.self_attn.q_proj`));
    for (const { lambda, deltaNorm, bound, share, r } of rows) {
      expect(lambda).toBe(-3);
      expect(r).toBe(2);
      expect(deltaNorm).toBeGreaterThan(0);
      expect(deltaNorm).toBeLessThanOrEqual(bound ?? 0);
      expect(share).toBeCloseTo((deltaNorm ?? 0) / (bound ?? 0), 12);
    }
  });

  it("of LoRA has no strength", async () => {
    const [row] = await getPeftModel(tinyLlama(), ALL_METHODS[1][1]).adapterReport();
    expect(row).toMatchObject({ lambda: null, bound: null, share: null, deltaNorm: expect.any(Number) });
  });
});
