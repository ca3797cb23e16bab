import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { parseSafetensors } from "../../src/io/index.ts";
import { LlamaForCausalLM } from "../../src/nn/index.ts";
import { polargrad, STORY, temporaryDirectory, TINY_CONFIG, writeTinyModel } from "./tiny-model.ts";

const dir = temporaryDirectory();
const path = (name: string): string => join(dir, name);
const model = path("model");

beforeAll(async () => {
  // Rows of whole blocks, the embedding's and the head's too.
  await writeTinyModel(model, { ...TINY_CONFIG, hidden_size: 32, intermediate_size: 64 });
  writeFileSync(path("story.txt"), STORY);
});
afterEach(() => vi.restoreAllMocks());

/** The dtypes of the matrices of every model that is loaded from now on. */
function loadedDTypes(): Set<string> {
  const load = LlamaForCausalLM.fromPretrained;
  const found = new Set<string>();
  vi.spyOn(LlamaForCausalLM, "fromPretrained").mockImplementation(async (from, options) => {
    const loaded = await load.call(LlamaForCausalLM, from, options);
    for (const { rank, dtype } of loaded.parameters()) if (rank === 2) found.add(dtype);
    return loaded;
  });
  return found;
}

const finetune = (output: string, ...flags: readonly string[]) =>
  polargrad(
    "finetune",
    ...["--base_model", model, "--data_path", path("story.txt"), "--output_dir", output, "--device", "cpu"],
    ...["--cutoff_len", "32", "--rank", "4", "--batch_size", "8", "--max_steps", "20", "--learning_rate", "1e-2"],
    ...["--val_set_size", "6", "--eval_step", "0", ...flags],
  );

const lossesIn = (out: string): number[] => {
  const [, before, after] = /held-out loss +([\d.]+) before, ([\d.]+) after/.exec(out) ?? [];
  return [Number(before), Number(after)];
};

describe("--quantize", () => {
  it("fine-tunes over a quantised model, as well as over the model itself, and says so", async () => {
    const plain = await finetune(path("plain"));
    const dtypes = loadedDTypes();
    const { code, out, err } = await finetune(path("quantised"), "--quantize", "q8_0");
    expect([code, err]).toEqual([0, ""]);
    expect([...dtypes]).toEqual(["q8_0"]);
    expect(out).toMatch(/model +\S+: Llama, 2 layers of 32, [\d,]+ parameters, matrices in q8_0$/m);
    expect(plain.out).toMatch(/model +\S+: Llama, 2 layers of 32, [\d,]+ parameters$/m);
    expect(out).toContain(`generate --base_model ${model} --quantize q8_0 --adapter ${path("quantised")}`);
    const [before, after] = lossesIn(out);
    expect(after).toBeLessThan(before - 0.02);
    expect(Math.abs(after / lossesIn(plain.out)[1] - 1)).toBeLessThan(0.01);
  });

  it("saves the adapter as always, which works on the model itself", async () => {
    const read = (from: string) =>
      parseSafetensors(readFileSync(join(path(from), "adapter_model.safetensors"))).tensors;
    const shapes = (from: string) => [...read(from)].map(([name, { dtype, shape }]) => [name, dtype, shape]);
    expect(shapes("quantised")).toEqual(shapes("plain"));
    const { code } = await polargrad("generate", "--adapter", path("quantised"), "--device", "cpu", "--prompt", "The");
    expect(code).toBe(0);
  });

  it("generates with a quantised model", async () => {
    const dtypes = loadedDTypes();
    const flags = ["--base_model", model, "--device", "cpu", "--prompt", "The whale", "--max_new_tokens", "5"];
    const { code, out } = await polargrad("generate", ...flags, "--quantize", "q4_0");
    expect(code).toBe(0);
    expect(out.startsWith("The whale")).toBe(true);
    expect([...dtypes]).toEqual(["q4_0"]);
  });

  it("warns of matrices whose rows are no whole blocks", async () => {
    await writeTinyModel(path("narrow"));
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const flags = ["--device", "cpu", "--prompt", "The", "--max_new_tokens", "1", "--quantize", "q8_0"];
    expect((await polargrad("generate", "--base_model", path("narrow"), ...flags)).code).toBe(0);
    expect(warn).toHaveBeenCalledExactlyOnceWith(expect.stringMatching(/rows are no multiple of 32; they are not kept in q8_0: .*embed_tokens/));
  });
});
