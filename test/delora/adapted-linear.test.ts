import { beforeEach, describe, expect, it, vi } from "vitest";
import { AdaptedLinear, DeloraConfig, getPeftModel, LoraConfig, LoraLayer } from "../../src/delora/index.ts";
import { Linear } from "../../src/nn/linear.ts";
import { add, manualSeed, ones, rand, sub } from "../../src/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { relativeError } from "./golden-run.ts";
import { logitsOf, TINY_IDS, tinyLlama } from "./tiny-llama.ts";

const QV = ["q_proj", "v_proj"];
beforeEach(() => manualSeed(11));

describe("dropout", () => {
  it("acts on the adapter's input, element by element, in training only", () => {
    const linear = new Linear(64, 3);
    const adapted = new AdaptedLinear(linear);
    const layer = new LoraConfig({
      r: 64,
      loraAlpha: 64,
      loraDropout: 0.25,
      initLoraWeights: false,
    }).createLayer(linear.weight, "linear");
    adapted.adapters.set("a", layer);
    adapted.activeAdapters = ["a"];
    const x = ones([50, 64]);
    const seen: Tensor[] = [];
    if (!(layer instanceof LoraLayer)) throw new Error("not LoRA");
    vi.spyOn(layer, "delta").mockImplementation((input) => {
      seen.push(input);
      return linear.forward(input);
    });
    adapted.eval().forward(x);
    expect(seen.pop()).toBe(x);
    adapted.train().forward(x);
    const values = [...(seen.pop()?.dataSync() ?? [])];
    const kept = values.filter((value) => value !== 0);
    expect(new Set(kept.map((value) => value.toFixed(6)))).toEqual(new Set([(1 / 0.75).toFixed(6)]));
    expect(kept.length / values.length).toBeCloseTo(0.75, 1);
  });

  it("draws a new mask at every call", () => {
    const config = new DeloraConfig({ r: 2, targetModules: QV, initWeights: false, moduleDropout: 0.5 });
    const peft = getPeftModel(tinyLlama(), config).train();
    expect(relativeError(logitsOf(peft), logitsOf(peft))).toBeGreaterThan(1e-3);
    peft.eval();
    expect(logitsOf(peft)).toEqual(logitsOf(peft));
  });
});

describe("an AdaptedLinear", () => {
  it("adds up the active adapters, and passes over those it lacks", async () => {
    const linear = new Linear(4, 3);
    const adapted = new AdaptedLinear(linear);
    const config = new DeloraConfig({ r: 2, initWeights: false });
    for (const name of ["a", "b"]) adapted.adapters.set(name, config.createLayer(linear.weight, name));
    const x = rand([5, 4]);
    const out = (active: string[]): Tensor => {
      adapted.activeAdapters = active;
      return adapted.forward(x);
    };
    expect(out([]).dataSync()).toEqual(linear.forward(x).dataSync());
    expect(out(["none"]).dataSync()).toEqual(out([]).dataSync());
    const expected = add(out(["a"]), sub(out(["b"]), out([])));
    expect(relativeError(out(["a", "b"]).dataSync(), expected.dataSync())).toBeLessThan(1e-6);
    expect(() => adapted.adapter("c")).toThrow("Adapter c not found. This layer has: a, b.");
  });
});

it("gradient checkpointing changes no gradient, with dropout too", async () => {
  const config = new DeloraConfig({ r: 2, targetModules: QV, initWeights: false, moduleDropout: 0.5 });
  const gradients = (recompute: boolean): Map<string, ArrayLike<number>> => {
    manualSeed(5);
    const peft = getPeftModel(tinyLlama(), config).train();
    if (recompute) peft.baseModel.gradientCheckpointingEnable();
    peft.forward({ inputIds: TINY_IDS, labels: TINY_IDS }).loss?.backward();
    return new Map(
      peft.namedParameters().flatMap(([name, { grad }]) => (grad ? [[name, grad.dataSync()]] : [])),
    );
  };
  const expected = gradients(false);
  const actual = gradients(true);
  expect(actual.size).toBe(12);
  for (const [name, grad] of expected)
    expect(relativeError(actual.get(name) ?? [], grad), name).toBeLessThan(1e-6);
});
