import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { convertToLora, LoraConfig, PeftModel, saveAsLora } from "../../../src/delora/index.ts";
import type { LlamaForCausalLM } from "../../../src/nn/llama-for-causal-lm.ts";
import { adapters, answer, type RecordedConversion } from "./adapters.ts";
import { base, logitsOf, relativeError, useGoldens } from "./models.ts";

useGoldens();
let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "polargrad-converted-"));
});
afterEach(() => rm(dir, { recursive: true }));

const silent = (): void => undefined;
const converted = Object.entries(adapters).flatMap(([name, { conversions = [] }]) =>
  conversions.map((one) => [name, one.rank < 1 ? { energy: one.rank } : { rank: one.rank }, one] as const),
);

/** The rank of a module in PEFT's answer. */
const rankOf = ({ config }: RecordedConversion, path: string): number => config.rank_pattern[path] ?? config.r;

async function load(name: string): Promise<PeftModel<LlamaForCausalLM>> {
  return PeftModel.fromPretrained(await base(adapters[name].base), `adapters/${name}`, { warn: silent });
}

/** The logits of the saved conversion on the base. */
async function logitsOfConverted(name: string, size: object): Promise<number[]> {
  await saveAsLora(dir, await load(name), size);
  return logitsOf(await PeftModel.fromPretrained(await base(adapters[name].base), dir, { warn: silent }));
}

describe("DeLoRA as LoRA", () => {
  it("is recorded at several sizes of several adapters", () => expect(converted.length).toBeGreaterThanOrEqual(15));

  it.each(converted)("%s by %j: PEFT's ranks, shapes and logits", async (name, size, recorded) => {
    const { config, tensors } = await convertToLora(await load(name), size);
    expect(Object.fromEntries([...tensors].map(([key, { shape }]) => [key, shape]))).toEqual(recorded.shapes);
    for (const key of tensors.keys()) {
      if (!key.includes(".lora_")) continue;
      const path = key.replace(/^base_model\.model\./, "").replace(/\.lora_[AB]\.weight$/, "");
      expect(config.rankOf(path), path).toBe(rankOf(recorded, path));
    }
    expect(relativeError(await logitsOfConverted(name, size), answer(`${name}/converted-${recorded.rank}`))).toBeLessThan(1e-5);
  });

  it.each(Object.keys(adapters).filter((name) => name.startsWith("delora") && !/bias|half/.test(name)))(
    "%s without a size: exactly",
    async (name) => {
      const { config, tensors } = await convertToLora(await load(name));
      expect(config).toBeInstanceOf(LoraConfig);
      expect([...tensors.values()].every(({ dtype }) => dtype === "F32")).toBe(true);
      expect(relativeError(await logitsOfConverted(name, {}), logitsOf(await load(name)))).toBeLessThan(1e-5);
    },
  );
});
