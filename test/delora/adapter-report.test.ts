import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  changeOf,
  DeloraConfig,
  getPeftModel,
  LoraConfig,
  matrixOf,
  PeftModel,
  readAdapterFolder,
  reportLayer,
} from "../../src/delora/index.ts";
import { parseSafetensors, serializeSafetensors } from "../../src/io/index.ts";
import { svd } from "../../src/linalg/svd.ts";
import { manualSeed, mul, noGrad, randn, tensor } from "../../src/ops/index.ts";
import { readFile, writeFile } from "node:fs/promises";
import { layerOf } from "./draw-layer.ts";
import { ALL_TARGETS, tinyLlama } from "./tiny-llama.ts";

let dir = "";
beforeEach(async () => {
  manualSeed(11);
  dir = await mkdtemp(join(tmpdir(), "polargrad-report-"));
});
afterEach(() => rm(dir, { recursive: true }));

describe("reportLayer", () => {
  it("measures lengths, strength, bound and the angle to the weight", async () => {
    const weight = [
      [3, 0],
      [4, 2],
    ];
    const layer = layerOf(weight, [[0, 2]], [[3], [4]], -5);
    const row = await reportLayer(layer, tensor(weight, { dtype: "f64", device: "cpu" }));
    // ΔW = λ · (0.6, 0.8)ᵀ · (0, 1) · diag(5, 2) = [[0, -6], [0, -8]]; W · ΔW = -16.
    expect(row).toMatchObject({ r: 1, lambda: -5, bound: 25 });
    expect(row.deltaNorm).toBeCloseTo(10, 12);
    expect(row.share).toBeCloseTo(0.4, 12);
    expect(row.aNorms).toEqual({ min: 2, mean: 2, max: 2 });
    expect(row.bNorms).toEqual({ min: 5, mean: 5, max: 5 });
    expect(row.weightNorm).toBeCloseTo(Math.sqrt(29), 12);
    expect(row.angle).toBeCloseTo((Math.acos(-16 / (10 * Math.sqrt(29))) * 180) / Math.PI, 9);
  });

  it("tells the largest singular values, of a product and of DoRA's dense change", async () => {
    const options = { dtype: "f64", device: "cpu" } as const;
    const weight = randn([6, 5], options);
    const rows = Array.from({ length: 6 }, (_, i) => [...weight.dataSync()].slice(5 * i, 5 * i + 5));
    const delora = layerOf(rows, [[1, 2, 0, 1, 0], [0, 1, 1, 0, 3]], [[1, 0], [2, 1], [0, 1], [1, 1], [0, 2], [1, 0]], 4);
    const config = new LoraConfig({ r: 2, useDora: true, initLoraWeights: false });
    const dora = config.createLayer(weight, "layer");
    for (const layer of [delora, dora]) {
      const change = noGrad(() => changeOf(layer, weight));
      const all = svd(await matrixOf(change!)).values;
      const few = await reportLayer(layer, weight, 1);
      const many = await reportLayer(layer, weight, 9);
      expect(few.singularValues).toHaveLength(1);
      expect(many.singularValues).toHaveLength(layer === delora ? 2 : 5);
      expect(Math.hypot(...many.singularValues!)).toBeCloseTo(many.deltaNorm!, 10);
      for (const [i, value] of many.singularValues!.entries()) expect(value).toBeCloseTo(all[i], 10);
      expect((await reportLayer(layer, weight)).singularValues).toEqual([]);
      expect(layer.parameters().every(({ disposed }) => !disposed)).toBe(true);
    }
    expect((await reportLayer(dora, null, 2)).singularValues).toBeNull();
  });

  it("needs the base for DoRA's change, which is not its low-rank part", async () => {
    const config = new LoraConfig({ r: 2, useDora: true, initLoraWeights: false, targetModules: ["q_proj"] });
    const peft = getPeftModel(tinyLlama(), config);
    const [row] = await peft.adapterReport();
    expect(row.deltaNorm).toBeGreaterThan(0);
    await peft.savePretrained(dir);
    const { layer, paths } = await readAdapterFolder(dir);
    const alone = await reportLayer(layer(paths[0], null), null);
    expect(alone).toMatchObject({ deltaNorm: null, angle: null, weightNorm: null, r: 2 });
  });
});

describe("readAdapterFolder", () => {
  it("reads an adapter without its base, as the model would", async () => {
    const config = new DeloraConfig({
      r: 2,
      rankPattern: { up_proj: 3 },
      targetModules: ALL_TARGETS,
      initWeights: false,
      modulesToSave: ["lm_head"],
    });
    const peft = getPeftModel(tinyLlama(), config);
    await peft.savePretrained(dir);
    const folder = await readAdapterFolder(dir);
    expect([...folder.others.keys()]).toEqual(["base_model.model.lm_head.weight"]);
    const expected = await (await PeftModel.fromPretrained(tinyLlama(), dir)).adapterReport();
    expect([...folder.paths].sort()).toEqual(expected.map(({ name }) => name).sort());
    for (const { name, deltaNorm, bound, r, lambda } of expected) {
      const row = await reportLayer(folder.layer(name, null), null);
      expect(row).toMatchObject({ r, lambda, bound });
      expect(row.deltaNorm).toBeCloseTo(deltaNorm ?? 0, 5);
    }
  });

  it("names a tensor that is missing or of another shape", async () => {
    const config = new DeloraConfig({ r: 2, targetModules: ["q_proj"] });
    await getPeftModel(tinyLlama(), config).savePretrained(dir);
    const file = join(dir, "adapter_model.safetensors");
    const { tensors } = parseSafetensors(await readFile(file));
    const key = "base_model.model.model.layers.0.self_attn.q_proj.delora_w_norm";
    tensors.delete(key);
    await writeFile(file, serializeSafetensors(tensors));
    const { layer, paths } = await readAdapterFolder(dir);
    expect(() => layer(paths[0], null)).toThrow(`lacks the tensor ${key}`);
    const other = noGrad(() => mul(tinyLlama().stateDict().get("model.layers.0.mlp.up_proj.weight") ?? 0, 1));
    expect(() => layer(paths[1], other)).toThrow("its config and base ask for [24,2]");
  });
});
