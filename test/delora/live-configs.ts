import { DeloraConfig, LoraConfig, type PeftConfig } from "../../src/delora/index.ts";
import { ALL_TARGETS } from "./tiny-llama.ts";

/** A config to exchange with PEFT, and the base that it is for. */
export interface LiveConfig {
  readonly base: "plain" | "biased" | "tied";
  readonly config: PeftConfig;
}

const QV = ["q_proj", "v_proj"];
const LM = { taskType: "CAUSAL_LM" } as const;
const plain = (config: PeftConfig): LiveConfig => ({ base: "plain", config });
const biased = (config: PeftConfig): LiveConfig => ({ base: "biased", config });

/** Configs that differ in method, targets, patterns, ranks, biases and saved modules. */
export const LIVE_CONFIGS: Readonly<Record<string, LiveConfig>> = {
  "DeLoRA, defaults": plain(new DeloraConfig()),
  "DeLoRA on all projections": plain(new DeloraConfig({ r: 3, deloraLambda: 4, targetModules: ALL_TARGETS, initWeights: false, ...LM })),
  "DeLoRA on the head, negative λ": plain(new DeloraConfig({ r: 1, deloraLambda: -2.5, targetModules: ["q_proj", "lm_head"] })),
  "DeLoRA, all-linear but the MLP": plain(new DeloraConfig({ r: 2, targetModules: "all-linear", excludeModules: ".*mlp.*", ...LM })),
  "DeLoRA by a pattern": plain(new DeloraConfig({ r: 2, targetModules: ".*\\.(0\\.mlp\\.(up|gate)|1\\.self_attn\\.o)_proj", ...LM })),
  "DeLoRA in one layer, with patterns": plain(
    new DeloraConfig({
      r: 2,
      deloraLambda: 9.5,
      targetModules: [...QV, "down_proj"],
      layersToTransform: [0],
      layersPattern: ["blocks", "layers"],
      rankPattern: { "layers.0.mlp.*": 3, "[qk]_proj": 4 },
      lambdaPattern: { v_proj: -1.5, down_proj: 0.25 },
      ...LM,
    }),
  ),
  "DeLoRA, all biases": biased(new DeloraConfig({ r: 2, bias: "all", targetModules: ["k_proj", "up_proj"], ...LM })),
  "DeLoRA, its modules' biases": biased(new DeloraConfig({ r: 2, bias: "delora_only", targetModules: ["q_proj", "down_proj"] })),
  "DeLoRA, head saved": plain(new DeloraConfig({ r: 2, modulesToSave: ["lm_head"], targetModules: ["o_proj"], ...LM })),
  "DeLoRA, norms and embedding saved": plain(new DeloraConfig({ r: 2, modulesToSave: ["model.norm", "embed_tokens"], ...LM })),
  "DeLoRA, tied embeddings": { base: "tied", config: new DeloraConfig({ r: 2, ...LM }) },
  "DeLoRA, the paper's variant": plain(new DeloraConfig({ r: 2, deloraLambda: 3, variant: "paper", ...LM })),
  rsLoRA: plain(new LoraConfig({ r: 4, loraAlpha: 6, useRslora: true, targetModules: QV, initLoraWeights: false })),
  "LoRA with patterns": plain(
    new LoraConfig({ r: 2, loraAlpha: 4, targetModules: ALL_TARGETS, rankPattern: { mlp: 5, ".*k_proj": 1 }, alphaPattern: { up_proj: 1, "1.self_attn.q_proj": 7 }, ...LM }),
  ),
  "LoRA, its modules' biases, head saved": biased(new LoraConfig({ r: 3, bias: "lora_only", modulesToSave: ["lm_head"], initLoraWeights: "gaussian", ...LM })),
  DoRA: plain(new LoraConfig({ r: 2, useDora: true, targetModules: QV, ...LM })),
  "DoRA on all linears, with biases": biased(new LoraConfig({ r: 2, loraAlpha: 3, useDora: true, targetModules: "all-linear", ...LM })),
};
