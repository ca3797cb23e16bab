import { type LlamaConfig, parseLlamaConfig } from "../../src/io/index.ts";

/** A configuration of 2 layers and grouped heads that runs in milliseconds. */
export const tinyConfig = (overrides: Readonly<Record<string, unknown>> = {}): LlamaConfig =>
  parseLlamaConfig({
    model_type: "llama",
    vocab_size: 23,
    hidden_size: 16,
    intermediate_size: 20,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 64,
    initializer_range: 0.3,
    ...overrides,
  });
