import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DeloraConfig, getPeftModel, PeftModel } from "../../src/delora/index.ts";
import { capture, type Tensor, tensor } from "../../src/index.ts";
import { parseLlamaConfig } from "../../src/io/index.ts";
import { LlamaForCausalLM } from "../../src/nn/index.ts";
import { AdamW, clipGradients } from "../../src/train/index.ts";
import { Draws } from "./draws.ts";
import type { TrainingStep } from "./training-step.ts";

/** A DeLoRA fine-tuning of a Llama with random weights: shapes decide the time. */
export interface DeloraSize {
  readonly vocabulary: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly feedForward: number;
  readonly batch: number;
  readonly time: number;
  readonly rank: number;
  readonly targets: readonly string[];
}

const COMMON = { batch: 4, time: 256, rank: 8, targets: ["q_proj", "v_proj"] };

/** The shapes of three small Llamas: stories260K, stories15M and SmolLM2-135M, 4 x 256 tokens a step. */
export const DELORA_SIZES = {
  tiny: { ...COMMON, vocabulary: 512, width: 64, layers: 5, heads: 8, keyValueHeads: 4, feedForward: 172 },
  small: { ...COMMON, vocabulary: 32000, width: 288, layers: 6, heads: 6, keyValueHeads: 6, feedForward: 768 },
  smollm2: { ...COMMON, vocabulary: 49152, width: 576, layers: 30, heads: 9, keyValueHeads: 3, feedForward: 1536 },
} as const satisfies Readonly<Record<string, DeloraSize>>;

/** Learning rate, and bound of the gradients' norm. */
const [RATE, MAX_NORM] = [1e-3, 1];

/** config.json of a size. */
const configOf = (size: DeloraSize): Record<string, unknown> => ({
  model_type: "llama",
  vocab_size: size.vocabulary,
  hidden_size: size.width,
  intermediate_size: size.feedForward,
  num_hidden_layers: size.layers,
  num_attention_heads: size.heads,
  num_key_value_heads: size.keyValueHeads,
  max_position_embeddings: 2048,
  tie_word_embeddings: true,
});

/** Writes what a contest starts from into `folder`: the model (base), a fresh adapter (adapter), and the ids of every step (batch.json). */
export async function writeDelora(folder: string, size: DeloraSize): Promise<void> {
  const [base, adapter] = ["base", "adapter"].map((name) => join(folder, name));
  mkdirSync(folder, { recursive: true });
  const model = LlamaForCausalLM.fromConfig(parseLlamaConfig(configOf(size)), { seed: 1 });
  await model.savePretrained(base);
  const config = new DeloraConfig({ r: size.rank, deloraLambda: 15, targetModules: size.targets, taskType: "CAUSAL_LM" });
  await getPeftModel(model, config).savePretrained(adapter);
  const draws = new Draws(5);
  const ids = Array.from({ length: size.batch }, () => [...draws.integers(size.time, size.vocabulary)]);
  const content: DeloraBatch = { ids, rate: RATE, maxNorm: MAX_NORM };
  writeFileSync(join(folder, "batch.json"), JSON.stringify(content));
}

/** What a contest trains on, and how. */
export interface DeloraBatch {
  readonly ids: readonly (readonly number[])[];
  readonly rate: number;
  readonly maxNorm: number;
}

/** The batch that `writeDelora` wrote. */
export const readBatch = (folder: string): DeloraBatch => JSON.parse(readFileSync(join(folder, "batch.json"), "utf8"));

/** One step on what `writeDelora` wrote, on the device of `init`: loss, gradients, clip, AdamW. */
export async function deloraStep(folder: string): Promise<TrainingStep> {
  const { ids, rate, maxNorm } = readBatch(folder);
  const base = await LlamaForCausalLM.fromPretrained(join(folder, "base"));
  const model = (await PeftModel.fromPretrained(base, join(folder, "adapter"), { isTrainable: true })).train();
  const trainable = model.parameters().filter(({ requiresGrad }) => requiresGrad);
  const optimizer = new AdamW(trainable, { lr: rate, weightDecay: 0 });
  const inputIds = tensor(ids, { dtype: "i32" });
  const step = capture((batch: Tensor) => {
    const { loss } = model.forward({ inputIds: batch, labels: batch });
    if (!loss) throw new Error("no loss although labels were given");
    loss.backward();
    clipGradients(trainable, maxNorm)?.dispose();
    optimizer.step();
    optimizer.zeroGrad();
    return [loss];
  });
  return () => step(inputIds)[0];
}
