import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { trainBpe } from "../../scripts/train-bpe.ts";
import { runCommand } from "../../src/cli/program.ts";
import { parseLlamaConfig } from "../../src/io/index.ts";
import { LlamaForCausalLM } from "../../src/nn/index.ts";

const VOCABULARY = 300;
export const STORY = "The whale went down and the sea closed over it. The men waited in their boats. ".repeat(
  60,
);

export const TINY_CONFIG = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: VOCABULARY,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  bos_token_id: 0,
  eos_token_id: 1,
};

/** A directory that is removed after the file's tests. */
export function temporaryDirectory(): string {
  const dir = mkdtempSync(join(tmpdir(), "polargrad-cli-"));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Write a Llama of a few thousand parameters with a tokenizer. */
export async function writeTinyModel(dir: string, config: typeof TINY_CONFIG = TINY_CONFIG): Promise<void> {
  const model = LlamaForCausalLM.fromConfig(parseLlamaConfig(config), { seed: 1, device: "cpu" });
  await model.savePretrained(dir);
  writeFileSync(join(dir, "tokenizer.json"), JSON.stringify(trainBpe(STORY, VOCABULARY, ["<s>", "</s>"])));
  writeFileSync(
    join(dir, "tokenizer_config.json"),
    JSON.stringify({ bos_token: "<s>", eos_token: "</s>", pad_token: "</s>" }),
  );
}

/** What a command printed, and its exit code. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Run a command line in this process. */
export async function polargrad(...args: readonly string[]): Promise<Outcome> {
  const out: string[] = [];
  const err: string[] = [];
  const terminal = {
    isTTY: false,
    print: (line = "") => void out.push(`${line}\n`),
    write: (text: string) => void out.push(text),
  };
  const code = await runCommand(args, terminal, (line) => err.push(line));
  return { code, out: out.join(""), err: err.join("\n") };
}
