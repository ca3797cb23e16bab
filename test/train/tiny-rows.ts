import { type EncodedRow, parseLlamaConfig } from "../../src/io/index.ts";
import { LlamaForCausalLM } from "../../src/nn/index.ts";

const CONFIG = {
  model_type: "llama",
  vocab_size: 24,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 32,
  tie_word_embeddings: true,
};

/** A random Llama of one layer; the same for the same seed. */
export const tinyLlama = (seed = 1): LlamaForCausalLM => LlamaForCausalLM.fromConfig(parseLlamaConfig(CONFIG), { seed });

/** Rows of 3 to 9 tokens, the first of each with an ignored label. */
export function tinyRows(count: number): EncodedRow[] {
  return Array.from({ length: count }, (_, row) => {
    const inputIds = Array.from({ length: 3 + ((row * 5) % 7) }, (_, i) => (row * 7 + i * i * 3) % 24);
    return { inputIds, labels: inputIds.map((id, i) => (i === 1 && row % 2 ? -100 : id)) };
  });
}
