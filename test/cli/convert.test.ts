import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  convertToLora,
  DeloraConfig,
  getPeftModel,
  LoraConfig,
  PeftModel,
  saveAsLora,
} from "../../src/delora/index.ts";
import { LlamaForCausalLM } from "../../src/nn/index.ts";
import { manualSeed } from "../../src/ops/index.ts";
import { relativeError } from "../delora/golden-run.ts";
import { logitsOf } from "../delora/tiny-llama.ts";
import { polargrad, temporaryDirectory, writeTinyModel } from "./tiny-model.ts";

const dir = temporaryDirectory();
const [base, adapter, dora] = ["base", "adapter", "dora"].map((name) => join(dir, name));
const load = (): Promise<LlamaForCausalLM> => LlamaForCausalLM.fromPretrained(base, { device: "cpu" });
const logitsFrom = async (path: string): Promise<ArrayLike<number>> =>
  logitsOf(await PeftModel.fromPretrained(await load(), path));

beforeAll(async () => {
  await writeTinyModel(base);
  manualSeed(1);
  const delora = new DeloraConfig({
    r: 3,
    rankPattern: { down_proj: 2 },
    targetModules: ["q_proj", "down_proj"],
    initWeights: false,
    taskType: "CAUSAL_LM",
  });
  await getPeftModel(await load(), delora).savePretrained(adapter);
  const config = new LoraConfig({ r: 2, targetModules: ["v_proj"], initLoraWeights: false, useDora: true });
  await getPeftModel(await load(), config).savePretrained(dora);
});

describe("polargrad convert", () => {
  it("is exact by default", async () => {
    const lora = join(dir, "lora");
    const { code, out } = await polargrad("convert", adapter, "--output_dir", lora);
    expect(code).toBe(0);
    expect(out).toContain("4 modules");
    expect(out).toContain("LoRA of rank 2 to 3");
    const config = JSON.parse(readFileSync(join(lora, "adapter_config.json"), "utf8"));
    expect(config).toMatchObject({ peft_type: "LORA", task_type: "CAUSAL_LM", target_modules: ["q_proj", "down_proj"] });
    expect(config.alpha_pattern).toEqual(config.rank_pattern);
    expect(relativeError(await logitsFrom(lora), await logitsFrom(adapter))).toBeLessThan(1e-6);
  });

  it("keeps a rank, or a share of the squared singular values", async () => {
    const [two, most] = ["two", "most"].map((name) => join(dir, name));
    await polargrad("convert", adapter, "--output_dir", two, "--rank", "2");
    await polargrad("convert", adapter, "--output_dir", most, "--energy", "0.999999");
    const exact = await logitsFrom(adapter);
    const loss = relativeError(await logitsFrom(two), exact);
    expect(loss).toBeGreaterThan(1e-4);
    expect(loss).toBeLessThan(0.5);
    expect(relativeError(await logitsFrom(most), exact)).toBeLessThan(1e-2);
    expect(JSON.parse(readFileSync(join(two, "adapter_config.json"), "utf8"))).toMatchObject({ r: 2, lora_alpha: 2 });
  });

  it("converts DoRA beside its base, to a rank", async () => {
    const out = join(dir, "from-dora");
    const { code } = await polargrad("convert", dora, "--output_dir", out, "--rank", "8");
    expect(code).toBe(0);
    expect(relativeError(await logitsFrom(out), await logitsFrom(dora))).toBeLessThan(1e-5);
    const exact = await polargrad("convert", dora, "--output_dir", join(dir, "never"));
    expect(exact.err).toContain("no product of two matrices: choose the rank");
    expect(existsSync(join(dir, "never"))).toBe(false);
  });

  it.each([
    [["convert", adapter], "--output_dir is missing"],
    [["convert", adapter, "--output_dir", adapter], "is what is read"],
    [["convert", adapter, "--output_dir", join(dir, "x"), "--rank", "1", "--energy", "0.5"], "give one of them"],
    [["convert", adapter, "--output_dir", join(dir, "x"), "--rank", "99"], "The chosen rank 99 is larger than the weight shape (16)"],
    [["convert", adapter, "--output_dir", join(dir, "x"), "--energy", "1.5"], "--energy must be a number above 0 and at most 1"],
  ])("refuses %j", async (args, message) => {
    const { code, err } = await polargrad(...args);
    expect(code).toBe(1);
    expect(err).toContain(message);
    expect(existsSync(join(dir, "x"))).toBe(false);
  });
});

describe("convertToLora", () => {
  it("of a model gives the same files, and refuses biases and unknown names", async () => {
    const peft = await PeftModel.fromPretrained(await load(), adapter);
    const saved = join(dir, "saved");
    await saveAsLora(saved, peft);
    expect(relativeError(await logitsFrom(saved), logitsOf(peft))).toBeLessThan(1e-6);
    await expect(convertToLora(peft, { adapterName: "other" })).rejects.toThrow("Adapter other not found.");
    const biased = getPeftModel(await load(), new DeloraConfig({ bias: "all" }));
    await expect(convertToLora(biased)).rejects.toThrow("sets bias=all, this is not supported right now.");
    await expect(convertToLora(peft, { rank: 0 })).rejects.toThrow("Passing a rank of 0 doesn't make sense");
  });
});
