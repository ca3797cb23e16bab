import { describe, expect, it } from "vitest";
import { AdaptedLinear, DeloraConfig, DeloraLayer, deloraFactors, getPeftModel, LoraConfig, LoraLayer } from "../../../src/delora/index.ts";
import { Linear } from "../../../src/nn/linear.ts";
import { linear, manualSeed, matmul, noGrad, norm, randn, tensor } from "../../../src/ops/index.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { gradcheck } from "../../../src/testing/index.ts";
import { AdamW } from "../../../src/train/index.ts";
import { f64, length } from "../draw-layer.ts";
import { relativeError } from "../golden-run.ts";
import { logitsOf, TINY_IDS, tinyLlama } from "../tiny-llama.ts";

const Q = "base_model.model.model.layers.0.self_attn.q_proj";
const config = new DeloraConfig({ r: 2, deloraLambda: 3, initWeights: false });

const values = (t: Tensor | undefined): number[] => [...(t?.dataSync() ?? [])];
const columnNorms = (weight: Tensor): number[] => values(noGrad(() => norm(weight, { axes: 0 })));

describe("the column norms w", () => {
  it("are those of the base weight over its outputs, as many as inputs; training leaves them as they are", () => {
    const peft = getPeftModel(tinyLlama(), config).train();
    const w = values(peft.stateDict().get(`${Q}.delora_w_norm.default`));
    const weight = peft.stateDict().get(`${Q}.base_layer.weight`) as Parameter;
    expect(w).toHaveLength(weight.shape[1]);
    expect(w).toEqual(columnNorms(weight));
    const names = peft.namedParameters().map(([name]) => name);
    expect(names.filter((name) => name.includes("w_norm"))).toEqual([]);
    const before = values(weight);
    const optimizer = new AdamW(
      peft.parameters().filter(({ requiresGrad }) => requiresGrad),
      { lr: 0.1 },
    );
    peft.forward({ inputIds: TINY_IDS, labels: TINY_IDS }).loss?.backward();
    optimizer.step();
    expect(values(peft.stateDict().get(`${Q}.delora_w_norm.default`))).toEqual(w);
    expect(values(peft.stateDict().get(`${Q}.base_layer.weight`))).toEqual(before);
    expect(values(peft.stateDict().get(`${Q}.delora_lambda.default`))).not.toEqual([3]);
  });

  it("are taken from the base, not from a weight with another adapter in it", async () => {
    const peft = getPeftModel(tinyLlama(), config);
    const expected = values(peft.stateDict().get(`${Q}.delora_w_norm.default`));
    await peft.mergeAdapter();
    expect(columnNorms(peft.stateDict().get(`${Q}.base_layer.weight`) as Tensor)).not.toEqual(expected);
    const quiet = getPeftModel(peft.baseModel, config, "second", { warn: () => undefined });
    expect(values(quiet.stateDict().get(`${Q}.delora_w_norm.second`))).toEqual(expected);
  });

  it.each([1 << 14, 1 << 18])("and the norms of rows and columns of %d numbers are exact to f32", (size) => {
    manualSeed(4);
    const init = { r: 1, lambda: 2, initWeights: false, dropout: 0 };
    const drawn = values(randn([size], { device: "cpu", std: 3 }));
    const tall = new DeloraLayer(tensor(drawn, { shape: [size, 1], device: "cpu" }), init);
    expect(Math.abs(values(tall.wNorm)[0] / length(drawn) - 1)).toBeLessThan(1e-6);
    const wide = new DeloraLayer(tensor(drawn, { shape: [1, size], device: "cpu" }), init);
    const [a, b] = [values(wide.a), values(wide.b)[0]];
    const scale = 2 / length(a) / Math.abs(b);
    const expected = a.map((value, j) => scale * b * value * Math.abs(drawn[j]));
    expect(relativeError(values(wide.deltaWeight()), expected)).toBeLessThan(1e-6);
  });
});

describe("gradients by finite differences", () => {
  const wNorm = f64([1, 2.5, 0.3]);
  const x = f64([
    [0.2, -1, 0.4],
    [1.5, 0.1, -0.7],
  ]);

  it.each([
    ["above the clamp", 1],
    ["below the clamp, where the update is linear in the factor", 3e-5],
  ])("agree for A, B, λ and the input, %s", async (_, scale) => {
    const a = f64([
      [0.4 * scale, -0.2 * scale, 0.9 * scale],
      [1, 0.5, -0.3],
    ]);
    const b = f64([
      [0.7, -0.4 * scale],
      [-0.1, 0.8 * scale],
    ]);
    const run = (a: Tensor, b: Tensor, lambda: Tensor, input: Tensor): Tensor => {
      const { down, up } = deloraFactors({ a, b, lambda, wNorm });
      return linear(linear(input, down), up);
    };
    const eps = scale < 1 ? 1e-9 : 1e-6;
    expect(await gradcheck(run, [a, b, f64([-2.5]), x], { eps, rtol: 1e-4 })).toBe(true);
  });

  it("agree in order 2", async () => {
    const run = (a: Tensor, b: Tensor, lambda: Tensor): Tensor => {
      const { down, up } = deloraFactors({ a, b, lambda, wNorm });
      return matmul(up, down);
    };
    expect(await gradcheck(run, [f64([[1, 0.2, -0.4]]), f64([[1], [0.5]]), f64([3])], { order: 2 })).toBe(true);
  });
});

describe("dropout", () => {
  it("is none while merged or disabled, in training too", async () => {
    const dropping = config.with({ moduleDropout: 0.5 });
    manualSeed(1);
    const peft = getPeftModel(tinyLlama(), dropping).train();
    expect(logitsOf(peft)).not.toEqual(logitsOf(peft));
    const base = logitsOf(tinyLlama());
    expect(peft.disableAdapter(() => logitsOf(peft))).toEqual(base);
    await peft.mergeAdapter();
    expect(logitsOf(peft)).toEqual(logitsOf(peft));
  });

  it("is drawn for every adapter apart", () => {
    const weight = randn([32, 64], { device: "cpu" });
    const adapted = new AdaptedLinear(Object.assign(new Linear(64, 32, { bias: false }), { weight: new Parameter(weight) }));
    for (const name of ["a", "b"]) adapted.adapters.set(name, config.with({ moduleDropout: 0.5 }).createLayer(weight, name));
    adapted.adapters.get("b")?.loadStateDict(adapted.adapter("a").stateDict());
    adapted.train();
    const x = randn([8, 64], { device: "cpu" });
    const added = (active: string[]): number[] => {
      manualSeed(3);
      adapted.activeAdapters = active;
      const base = values(adapted.baseLayer.forward(x));
      return values(adapted.forward(x)).map((value, i) => value - base[i]);
    };
    const one = added(["a"]);
    expect(relativeError(added(["a", "b"]), one.map((value) => 2 * value))).toBeGreaterThan(0.1);
    adapted.eval();
    expect(relativeError(added(["a", "b"]), added(["a"]).map((value) => 2 * value))).toBeLessThan(1e-5);
  });
});

describe("LoRA's first values", () => {
  const first = (init: "gaussian" | boolean, r: number): { a: number[]; b: number[] } => {
    const linear = new Linear(512, 16, { bias: false });
    const layer = new LoraConfig({ r, loraAlpha: 1, initLoraWeights: init }).createLayer(linear.weight, "x");
    if (!(layer instanceof LoraLayer)) throw new Error("no LoRA");
    return { a: values(layer.a), b: values(layer.b) };
  };
  const deviation = (all: number[]): number => length(all) / Math.sqrt(all.length);

  it.each([2, 8])("are normal with deviation 1/r for gaussian (r = %d), uniform in ±1/√n else, and 0 for B", (r) => {
    manualSeed(5);
    const gaussian = first("gaussian", r);
    expect(deviation(gaussian.a) * r).toBeCloseTo(1, 1);
    expect(Math.max(...gaussian.a.map(Math.abs)) * r).toBeGreaterThan(2);
    const uniform = first(true, r);
    expect(Math.max(...uniform.a.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(512));
    expect(deviation(uniform.a) * Math.sqrt(512) * Math.sqrt(3)).toBeCloseTo(1, 1);
    expect([...gaussian.b, ...uniform.b].every((value) => value === 0)).toBe(true);
    expect(deviation(first(false, r).b)).toBeGreaterThan(0);
  });
});
