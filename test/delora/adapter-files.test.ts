import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { AdapterFileError, DeloraConfig, getPeftModel, PeftModel } from "../../src/delora/index.ts";
import { parseSafetensors, serializeSafetensors } from "../../src/io/index.ts";
import type { LlamaForCausalLM } from "../../src/nn/llama-for-causal-lm.ts";
import { add, manualSeed, noGrad, sum } from "../../src/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { ALL_METHODS, logitsOf, tinyLlama } from "./tiny-llama.ts";

let dir = "";
beforeEach(async () => {
  manualSeed(11);
  dir = await mkdtemp(join(tmpdir(), "polargrad-peft-"));
});
afterEach(() => rm(dir, { recursive: true }));

async function rejection(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error instanceof Error) return error;
  throw new Error("nothing was thrown");
}

describe.each(ALL_METHODS)("saving and loading %s", (_, config) => {
  it("gives the same logits, frozen and in eval mode", async () => {
    const peft = getPeftModel(tinyLlama(), config);
    await peft.savePretrained(join(dir, "adapter"));
    expect((await readdir(dir)).sort()).toEqual(["adapter"]);
    expect((await readdir(join(dir, "adapter"))).sort()).toEqual([
      "README.md",
      "adapter_config.json",
      "adapter_model.safetensors",
    ]);
    const loaded = await PeftModel.fromPretrained(tinyLlama(), join(dir, "adapter"));
    expect(logitsOf(loaded)).toEqual(logitsOf(peft));
    expect(loaded.parameters().some(({ requiresGrad }) => requiresGrad)).toBe(false);
    expect(loaded.baseModel.training).toBe(false);
    expect(loaded.peftConfig.default.inferenceMode).toBe(true);
  });

  it("can be trained on", async () => {
    await getPeftModel(tinyLlama(), config).savePretrained(dir);
    const loaded = await PeftModel.fromPretrained(tinyLlama(), dir, {
      isTrainable: true,
      adapterName: "other",
    });
    expect(loaded.parameters().filter(({ requiresGrad }) => requiresGrad)).not.toHaveLength(0);
    expect(loaded.baseModel.training).toBe(true);
    expect(loaded.peftConfig.other.inferenceMode).toBe(false);
    await loaded.savePretrained(dir);
    expect(
      (await readFile(join(dir, "other", "adapter_config.json"), "utf8")).includes('"inference_mode": true'),
    ).toBe(true);
    const again = await readFile(join(dir, "other", "adapter_model.safetensors"));
    expect(again.equals(await readFile(join(dir, "adapter_model.safetensors")))).toBe(true);
  });

  it("warns of missing tensors and passes over others", async () => {
    const peft = getPeftModel(tinyLlama(), config);
    await peft.savePretrained(dir);
    const file = join(dir, "adapter_model.safetensors");
    const { tensors } = parseSafetensors(await readFile(file));
    const [first, value] = [...tensors][0];
    tensors.delete(first);
    tensors.set("stranger", value);
    await writeFile(file, serializeSafetensors(tensors));
    const warn = vi.fn();
    await PeftModel.fromPretrained(tinyLlama(), dir, { warn });
    const part = config instanceof DeloraConfig ? "delora_A.default" : "lora_A.default.weight";
    const list = `['base_model.model.model.layers.0.mlp.down_proj.${part}']`;
    expect(warn).toHaveBeenCalledExactlyOnceWith(
      `Found missing adapter keys while loading the checkpoint: ${list}.`,
    );
  });
});

describe("a directory that is no adapter for this model", () => {
  const config = ALL_METHODS[0][1];
  let model: LlamaForCausalLM;
  let names: string[];
  beforeEach(async () => {
    await getPeftModel(tinyLlama(), config).savePretrained(dir);
    model = tinyLlama();
    names = [...model.stateDict().keys()];
  });
  const loading = (): Promise<Error> => rejection(PeftModel.fromPretrained(model, dir));
  const unchanged = (): void => {
    expect([...model.stateDict().keys()]).toEqual(names);
    expect(model.parameters().every(({ requiresGrad }) => requiresGrad)).toBe(true);
  };
  const edit = async (changes: Record<string, unknown>): Promise<void> => {
    const file = join(dir, "adapter_config.json");
    await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, "utf8")), ...changes }));
  };

  it.each<[Record<string, unknown>, string]>([
    [
      { r: 5 },
      "Error(s) in loading state_dict for PeftModelForCausalLM: " +
        "size mismatch for base_model.model.model.layers.0.self_attn.q_proj.delora_A.default: " +
        "copying a param with shape torch.Size([2, 16]) from checkpoint, " +
        "the shape in current model is torch.Size([5, 16]).",
    ],
    [{ r: 5, task_type: null }, "Error(s) in loading state_dict for PeftModel: size mismatch"],
    [{ r: 0 }, "`r` must be a positive integer; got 0."],
    [{ peft_type: "LOHA" }, 'has peft_type "LOHA"; the supported ones are DELORA, LORA'],
    [{ target_modules: ["query"] }, "Target modules {'query'} not found in the base model."],
    [{ target_modules: "q_proj" }, "Target modules q_proj not found in the base model."],
    [{ target_modules: "q_(proj" }, "missing )"],
    [{ rank_pattern: { q_proj: 0 } }, "`r` should be a positive integer value but the value passed is 0"],
    [{ bias: "some" }, "Requested bias: some, is not implemented."],
  ])("is refused with %j", async (changes, message) => {
    await edit(changes);
    expect((await loading()).message).toContain(message);
    unchanged();
  });

  it("is refused when its weights are integers", async () => {
    const file = join(dir, "adapter_model.safetensors");
    const { tensors } = parseSafetensors(await readFile(file));
    const integers = [...tensors].map(([name, { shape, data }]) => [name, { dtype: "I32", shape, data }] as const);
    await writeFile(file, serializeSafetensors(integers, { format: "pt" }));
    const error = await loading();
    expect(error).toMatchObject({ name: "AdapterFileError", code: "not-floats" });
    expect(error.message).toMatch(/holds "base_model\S+" as I32; only F32, F16, BF16, F64 can be loaded/);
    unchanged();
  });

  it("is refused when its weights are cut short", async () => {
    const file = join(dir, "adapter_model.safetensors");
    await writeFile(file, (await readFile(file)).subarray(0, -10));
    const error = await loading();
    expect(error).toMatchObject({ name: "SafetensorsError", file });
    unchanged();
  });

  it("is refused when a file is missing, or there is only a pickle", async () => {
    await rm(join(dir, "adapter_model.safetensors"));
    expect((await loading()).message).toContain(`Can't find 'adapter_model.safetensors' at '${dir}'`);
    await writeFile(join(dir, "adapter_model.bin"), "pickle");
    expect(await loading()).toMatchObject({
      code: "pickle",
      message: expect.stringContaining("safe_serialization=True"),
    });
    await rm(join(dir, "adapter_config.json"));
    const error = await loading();
    expect(error).toBeInstanceOf(AdapterFileError);
    expect(error.message).toContain(`Can't find 'adapter_config.json' at '${dir}'`);
    unchanged();
  });

  it("cannot be a file when saving", async () => {
    const file = join(dir, "taken");
    await writeFile(file, "mine");
    const error = await rejection(getPeftModel(model, config).savePretrained(file));
    expect(error.message).toContain("should be a directory to write into, found a file");
    expect(await readFile(file, "utf8")).toBe("mine");
  });

  it("keeps both old files when one cannot be replaced", async () => {
    const target = join(dir, "half");
    await mkdir(join(target, "adapter_config.json"), { recursive: true });
    await rejection(getPeftModel(model, config).savePretrained(target));
    expect(await readdir(target)).toEqual(["adapter_config.json"]);
  });
});

it("keeps stored column norms, also on another base", async () => {
  const peft = getPeftModel(tinyLlama(), ALL_METHODS[0][1]);
  await peft.savePretrained(dir);
  const other = tinyLlama();
  for (const parameter of other.parameters()) parameter.assign(noGrad(() => add(parameter, parameter)));
  const loaded = await PeftModel.fromPretrained(other, dir);
  const name = "base_model.model.model.layers.0.self_attn.q_proj.delora_w_norm";
  expect(loaded.getPeftModelStateDict().get(name)?.dataSync()).toEqual(
    peft.getPeftModelStateDict().get(name)?.dataSync(),
  );
  expect(sum(loaded.getPeftModelStateDict().get(name) as Tensor).requiresGrad).toBe(false);
});
