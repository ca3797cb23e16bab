import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PeftModel } from "../../../src/delora/index.ts";
import { LlamaForCausalLM } from "../../../src/nn/llama-for-causal-lm.ts";
import { loadTinyAdapter, repeatTinyRun, shown, TINY_METHODS, tinyGolden } from "./tiny-golden.ts";

describe.skipIf(tinyGolden === null)("PEFT's small runs, on the CPU", () => {
  it.each(TINY_METHODS)("%s: first logits and gradients, six clipped steps with a falling rate", async (method) => {
    const distances = await repeatTinyRun(method, "cpu");
    console.log(`CPU against PEFT, ${method} trained: ${shown(distances)}`);
    for (const [name, distance] of Object.entries(distances)) expect(distance, name).toBeLessThanOrEqual(1e-4);
  });

  it.each(TINY_METHODS)("%s: the trained files' logits, gradients and updates, beside the base and merged", async (method) => {
    const distances = await loadTinyAdapter(method, "cpu");
    console.log(`CPU against PEFT, ${method} loaded: ${shown(distances)}`);
    for (const [name, distance] of Object.entries(distances)) expect(distance, name).toBeLessThanOrEqual(1e-5);
  });

  it.each(TINY_METHODS.flatMap((method) => [`${method}-init`, `${method}-trained`]))("%s: saved again byte for byte", async (name) => {
    const dir = await mkdtemp(join(tmpdir(), "polargrad-tiny-"));
    try {
      const source = `${tinyGolden}/${name}`;
      const base = await LlamaForCausalLM.fromPretrained(`${tinyGolden}/tiny-llama`, { device: "cpu" });
      await (await PeftModel.fromPretrained(base, source)).savePretrained(dir);
      for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
        expect((await readFile(join(dir, file))).equals(await readFile(join(source, file))), file).toBe(true);
      }
      const front = async (at: string): Promise<string> => (await readFile(join(at, "README.md"), "utf8")).split("---\n")[1];
      expect(await front(dir)).toBe(await front(source));
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
