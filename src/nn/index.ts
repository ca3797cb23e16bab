export { AutoTokenizer } from "../io/index.ts";
export { CausalLMOutput } from "./causal-lm-output.ts";
export { Dropout } from "./dropout.ts";
export { Embedding } from "./embedding.ts";
export { generate, type GenerateOptions, type GenerationModel } from "./generate.ts";
export { parameterOf, uniformInit, type WeightInit } from "./init.ts";
export { type KeysValues, KvCache } from "./kv-cache.ts";
export { Linear, type LinearOptions } from "./linear.ts";
export {
  type CausalLMInputs,
  type FromConfigOptions,
  type FromPretrainedOptions,
  LlamaForCausalLM,
  type PreparedInputs,
} from "./llama-for-causal-lm.ts";
export type { LoadDType } from "./llama-weights.ts";
export type { Rows } from "./llama-inputs.ts";
export {
  type LayerContext,
  LlamaAttention,
  LlamaDecoderLayer,
  type LlamaInit,
  LlamaMLP,
} from "./llama-layers.ts";
export { LlamaModel, type LlamaModelInputs } from "./llama-model.ts";
export { type LoadReport, Module, type TensorModule } from "./module.ts";
export { LayerNorm, RMSNorm } from "./norms.ts";
export type { RopeAngles } from "./rotary.ts";
export type { SamplingSettings } from "./sampling.ts";
export { type SizeMismatch, StateDictError, type StateDictProblems } from "./state-dict.ts";
