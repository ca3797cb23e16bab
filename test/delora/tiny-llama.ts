import { DeloraConfig, LoraConfig, type PeftConfig } from "../../src/delora/index.ts";
import { parseLlamaConfig } from "../../src/io/index.ts";
import { LlamaForCausalLM } from "../../src/nn/llama-for-causal-lm.ts";
import { noGrad } from "../../src/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

/** A Llama of 2 layers (or others) with grouped heads and a head of its own (or a tied one), the same at every call; biases are 0. */
export function tinyLlama(
  options: {
    readonly tied?: boolean;
    readonly biased?: boolean;
    readonly layers?: number;
    readonly dtype?: "f32" | "f64";
  } = {},
): LlamaForCausalLM {
  const config = parseLlamaConfig({
    model_type: "llama",
    architectures: ["LlamaForCausalLM"],
    vocab_size: 32,
    hidden_size: 16,
    intermediate_size: 24,
    num_hidden_layers: options.layers ?? 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 32,
    initializer_range: 0.2,
    tie_word_embeddings: options.tied ?? false,
    attention_bias: options.biased ?? false,
    mlp_bias: options.biased ?? false,
  });
  return LlamaForCausalLM.fromConfig(config, { seed: 7, device: "cpu", dtype: options.dtype ?? "f32" });
}

/** Two rows of token ids for it. */
export const TINY_IDS = [
  [1, 5, 9, 30, 2, 17, 17, 4],
  [3, 8, 0, 21, 31, 12, 6, 25],
];

/** Every projection of a Llama. */
export const ALL_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/** A config of each method, with an update that is not zero. */
export const ALL_METHODS: [string, PeftConfig][] = [
  [
    "DeLoRA",
    new DeloraConfig({
      r: 2,
      deloraLambda: 3,
      targetModules: ALL_TARGETS,
      initWeights: false,
      taskType: "CAUSAL_LM",
    }),
  ],
  ["LoRA", new LoraConfig({ r: 3, loraAlpha: 6, targetModules: ALL_TARGETS, initLoraWeights: false })],
];

/** A Llama, with or without adapters. */
interface Runs {
  forward(inputs: { inputIds: number[][] }): { logits: Tensor };
}

/** Its scores for the rows above. */
export const logitsOf = (model: Runs): ArrayLike<number> =>
  noGrad(() => model.forward({ inputIds: TINY_IDS }).logits).dataSync();
