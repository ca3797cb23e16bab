import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { DeloraConfig, getPeftModel, LoraConfig } from "../../src/delora/index.ts";
import { LlamaForCausalLM } from "../../src/nn/index.ts";
import { manualSeed } from "../../src/ops/index.ts";
import { polargrad, temporaryDirectory, writeTinyModel } from "./tiny-model.ts";

const dir = temporaryDirectory();
const [base, adapter, dora, merged] = ["base", "adapter", "dora", "merged"].map((name) => join(dir, name));

beforeAll(async () => {
  await writeTinyModel(base);
  manualSeed(1);
  const targetModules = ["q_proj", "lm_head"];
  const load = (): Promise<LlamaForCausalLM> => LlamaForCausalLM.fromPretrained(base, { device: "cpu" });
  const delora = new DeloraConfig({ r: 2, deloraLambda: -3, targetModules, initWeights: false });
  await getPeftModel(await load(), delora, "default", { warn: () => {} }).savePretrained(adapter);
  const config = new LoraConfig({ r: 2, targetModules: ["v_proj"], initLoraWeights: false, useDora: true });
  await getPeftModel(await load(), config).savePretrained(dora);
});

describe("polargrad inspect", () => {
  it("shows an adapter beside its base", async () => {
    const { code, out } = await polargrad("inspect", adapter);
    expect(code).toBe(0);
    expect(out).toContain("DeLoRA, rank 2");
    expect(out).toMatch(/layers\.0\.self_attn\.q_proj +2 +-3\.0000 .* \d+\.\d % .*\d\.\d{3} \d\.\d{3} .* \d+\.\d°/);
    expect(out).toContain("besides");
  });

  it("gives the same numbers as JSON", async () => {
    const { code, out } = await polargrad("inspect", adapter, "--json", "--singular_values", "1");
    expect(code).toBe(0);
    const { config, modules, others } = JSON.parse(out);
    expect(config).toMatchObject({ peft_type: "DELORA", r: 2, delora_lambda: -3 });
    expect(others).toEqual(["base_model.model.lm_head.base_layer.weight"]);
    expect(modules).toHaveLength(3);
    for (const { name, deltaNorm, bound, share, singularValues, angle, aNorms, weightNorm } of modules) {
      expect(name).toMatch(/q_proj|lm_head/);
      expect(share).toBeCloseTo(deltaNorm / bound, 6);
      expect(singularValues[0]).toBeLessThanOrEqual(deltaNorm * 1.000001);
      expect(singularValues[0]).toBeGreaterThan(deltaNorm / 2);
      expect(angle).toBeGreaterThan(0);
      expect(aNorms.min).toBeLessThanOrEqual(aNorms.max);
      expect(weightNorm).toBeGreaterThan(0);
    }
  });

  it("says what it cannot tell without the base", async () => {
    const file = join(dora, "adapter_config.json");
    const config = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, JSON.stringify({ ...config, base_model_name_or_path: "someone/llama" }));
    const alone = await polargrad("inspect", dora);
    expect(alone.out).toContain("someone/llama (not here");
    expect(alone.out).not.toContain("‖ΔW‖_F");
    expect((await polargrad("inspect", dora, "--base_model", base)).out).toContain("‖ΔW‖_F");
  });

  it("shows a Llama", async () => {
    const { code, out } = await polargrad("inspect", base);
    expect(code).toBe(0);
    expect(out).toContain("2 layers of 16");
    expect(out).toMatch(/layers\.1\.mlp\.down_proj +16×24 +F32/);
    const { matrices } = JSON.parse((await polargrad("inspect", base, "--json")).out);
    expect(matrices[0]).toMatchObject({ name: "model.embed_tokens.weight", shape: [300, 16], dtype: "F32" });
  });

  it.each([
    [["inspect"], "missing required argument"],
    [["inspect", join(dir, "nowhere")], "is not there; expected an adapter"],
    [["inspect", dir], "holds neither; expected an adapter"],
    [["inspect", adapter, "--base_model", dir], "--base_model: "],
    [["inspect", adapter, "--singular_values", "-1"], "--singular_values must be a whole number of at least 0"],
  ])("refuses %j", async (args, message) => {
    const { code, err } = await polargrad(...args);
    expect(code).toBe(1);
    expect(err).toContain(message);
  });
});

describe("polargrad merge", () => {
  it("writes a Llama that computes the same without the adapter", async () => {
    const { code, out } = await polargrad("merge", adapter, "--output_dir", merged);
    expect(code).toBe(0);
    expect(out).toContain("merged 3 modules");
    const prompt = ["--prompt", "The whale", "--max_new_tokens", "12"];
    const beside = await polargrad("generate", "--base_model", base, "--adapter", adapter, ...prompt);
    const inside = await polargrad("generate", "--base_model", merged, ...prompt);
    expect(inside.out).toBe(beside.out);
    expect(JSON.parse(readFileSync(join(merged, "config.json"), "utf8")).tie_word_embeddings).toBe(false);
  });

  it("refuses to write over what it reads, or a broken adapter", async () => {
    expect((await polargrad("merge", adapter, "--output_dir", base)).err).toContain("is what is read");
    expect((await polargrad("merge", adapter)).err).toContain("--output_dir is missing");
    const broken = join(dir, "broken");
    mkdirSync(broken);
    for (const name of ["adapter_config.json", "adapter_model.safetensors"])
      writeFileSync(join(broken, name), readFileSync(join(adapter, name)));
    const file = join(broken, "adapter_model.safetensors");
    const bytes = readFileSync(file);
    bytes.fill(0xff, bytes.length - 8);
    writeFileSync(file, bytes);
    const { code, err } = await polargrad("merge", broken, "--output_dir", join(dir, "never"));
    expect(code).toBe(1);
    expect(err).toContain("NaNs detected in the merged weights");
  });
});
