import { describe, expect, it } from "vitest";
import { AutoTokenizer, generate, KvCache, LlamaForCausalLM } from "../../src/nn/index.ts";
import { liveCpuStorages } from "../../src/tensor/cpu-storage.ts";
import { manualSeed } from "../../src/tensor/generator.ts";
import { sharedPath } from "../shared.ts";
import { relativeError } from "./llama-golden.ts";
import { tinyConfig } from "./tiny-llama.ts";

const prompt = [3, 1, 4];
const make = (overrides = {}): LlamaForCausalLM =>
  LlamaForCausalLM.fromConfig(tinyConfig({ eos_token_id: null, ...overrides }), { seed: 11 }).eval();

describe("generate", () => {
  it("gives the same tokens with and without a cache, greedy and sampled", async () => {
    const model = make();
    for (const options of [{}, { doSample: true, seed: 5, temperature: 1.5, topK: 0, topP: 0.95 }]) {
      const cached = await generate(model, prompt, { maxNewTokens: 24, ...options });
      const plain = await generate(model, prompt, { maxNewTokens: 24, ...options, useCache: false });
      expect(cached).toHaveLength(24);
      expect(cached).toEqual(plain);
    }
  });

  it("computes the same scores from a cache as from the whole sequence", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 11, dtype: "f64" });
    const cache = new KvCache();
    const scores: ArrayLike<number>[] = [];
    for (const part of [[3, 1, 4], [1], [5, 9], [2]])
      scores.push(await model.nextTokenLogits([part], cache).data());
    expect(cache.length).toBe(7);
    cache.dispose();
    const whole = await model.nextTokenLogits([[3, 1, 4, 1, 5, 9, 2]]).data();
    expect(relativeError(scores[3], whole)).toBeLessThan(1e-12);
    const { logits } = model.forward({ inputIds: [[3, 1, 4, 1, 5, 9, 2]] });
    expect(relativeError(whole, (await logits.data()).slice(-23))).toBeLessThan(1e-12);
  });

  it("depends on the seed alone when sampling, or on the global generator without one", async () => {
    const model = make();
    const run = (seed?: number): Promise<number[]> =>
      generate(model, prompt, { maxNewTokens: 16, doSample: true, ...(seed === undefined ? {} : { seed }) });
    expect(await run(1)).toEqual(await run(1));
    expect(await run(1)).not.toEqual(await run(2));
    manualSeed(9);
    const [first, second] = [await run(), await run()];
    manualSeed(9);
    expect([await run(), await run()]).toEqual([first, second]);
    expect(first).not.toEqual(second);
    expect(await generate(model, prompt, { doSample: true, topK: 1, seed: 3 })).toEqual(
      await generate(model, prompt),
    );
  });

  it("stops after an end token and calls back for each", async () => {
    const model = make();
    const [first, second] = await generate(model, prompt, { maxNewTokens: 2 });
    const seen: number[] = [];
    const eosTokenIds = first === second ? [first] : [second];
    const made = await generate(model, prompt, { eosTokenIds, onToken: async (id) => void seen.push(id) });
    expect(made).toEqual(first === second ? [first] : [first, second]);
    expect(seen).toEqual(made);
    expect(await generate(make({ eos_token_id: [first] }), prompt)).toEqual([first]);
    expect(await generate(model, prompt, { maxNewTokens: 0 })).toEqual([]);
  });

  it("keeps as many storages alive at each token, none after the last, none after an error", async () => {
    const model = make();
    await generate(model, prompt, { maxNewTokens: 30 });
    const before = liveCpuStorages();
    const live: number[] = [];
    await generate(model, prompt, { maxNewTokens: 8, onToken: () => void live.push(liveCpuStorages()) });
    expect(new Set(live)).toEqual(new Set([before + 4]));
    expect(liveCpuStorages()).toBe(before);
    const fail = (): never => {
      throw new Error("stop");
    };
    await expect(generate(model, prompt, { onToken: fail })).rejects.toThrow("stop");
    expect(liveCpuStorages()).toBe(before);
  });

  it.each([
    [{ temperature: 0 }, "generate: temperature must be a finite number above 0, got 0; leave doSample out"],
    [{ topP: 0 }, "generate: topP must be above 0 and at most 1, got 0"],
    [{ topK: -1 }, "generate: topK must be a whole number of at least 0, got -1"],
    [{ maxNewTokens: 1.5 }, "generate: maxNewTokens must be a whole number of at least 0, got 1.5"],
  ])("refuses %j", async (options, message) => {
    await expect(generate(make(), prompt, options)).rejects.toThrow(message);
  });

  it("refuses an empty prompt and unknown ids", async () => {
    await expect(generate(make(), [])).rejects.toThrow("at least one row of at least one id");
    await expect(generate(make(), [23])).rejects.toThrow("inputIds[0][0] must be an id from 0 to 22");
  });

  const stories = sharedPath("models/stories260K");
  it.skipIf(stories === null)("tells a story with pretrained weights", async () => {
    const dir = stories as string;
    const [model, tokenizer] = [
      await LlamaForCausalLM.fromPretrained(dir),
      await AutoTokenizer.fromPretrained(dir),
    ];
    const ids = tokenizer.encode("Once upon a time");
    const text = tokenizer.decode([...ids, ...(await generate(model, ids, { maxNewTokens: 40 }))]);
    console.log(text);
    expect(text).toMatch(/^Once upon a time, there was a little girl/);
  });
});
