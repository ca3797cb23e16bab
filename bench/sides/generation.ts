import { join } from "node:path";
import type { Side } from "../harness/side.ts";
import { generate, LlamaForCausalLM } from "../../src/nn/index.ts";
import { readBatch } from "../workloads/delora.ts";
import { openSide } from "./open-side.ts";

/** What is continued. */
export interface GenerationOptions {
  /** What `writeDelora` wrote. */
  readonly folder: string;
  /** Length of the prompt. */
  readonly promptTokens: number;
  /** How the matrices lie in memory. Default: as the files have them, f32. */
  readonly format?: "bf16" | "q8_0" | "q4_0";
}

/** Times greedy continuation with a cache of keys and values; a unit is a new token. Its "losses" are the tokens. */
export async function generation({ folder, promptTokens, format }: GenerationOptions): Promise<Side> {
  const facts = await openSide("cpu");
  const stored = format === "bf16" ? { dtype: format } : { ...(format ? { quantize: format } : {}) };
  const model = await LlamaForCausalLM.fromPretrained(join(folder, "base"), stored);
  const prompt = readBatch(folder).ids[0].slice(0, promptTokens);
  return {
    facts,
    async run(count) {
      const start = performance.now();
      const losses = await generate(model, prompt, { maxNewTokens: count, eosTokenIds: [] });
      return { times: [(performance.now() - start) / count], losses };
    },
  };
}
