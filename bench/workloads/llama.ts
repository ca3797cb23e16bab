import { parseLlamaConfig } from "../../src/io/index.ts";
import { capture, type Device, linearCrossEntropy, type Tensor, tidy } from "../../src/index.ts";
import { Linear, LlamaForCausalLM } from "../../src/nn/index.ts";
import { AdamW } from "../../src/train/index.ts";
import { type Arrays, type NamedArray, tensorsOf, transposed } from "./arrays.ts";
import { Draws } from "./draws.ts";
import type { TrainingStep } from "./training-step.ts";

const [VOCABULARY, WIDTH, LAYERS, HEADS, TIME, BATCH, FEED_FORWARD] = [256, 128, 2, 4, 64, 4, 352];

/** Tokens of a step. */
export const LLAMA_TOKENS = BATCH * TIME;

/** Losses of some steps that every right implementation has, within 1e-4. */
export const LLAMA_LOSSES: Readonly<Record<number, number>> = { 0: 5.75376, 3: 4.14138, 10: 1.49422 };

/** config.json of the Llama of 0.47 million parameters that every peer can train: no grouped heads, no tied head. */
export const LLAMA_CONFIG = {
  model_type: "llama",
  vocab_size: VOCABULARY,
  hidden_size: WIDTH,
  intermediate_size: FEED_FORWARD,
  num_hidden_layers: LAYERS,
  num_attention_heads: HEADS,
  max_position_embeddings: TIME,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: false,
};

/** Its first weights by their checkpoint names, and one batch of ids with the id that follows each. */
export function llamaArrays(): { readonly weights: Arrays; readonly batch: Arrays } {
  const draws = new Draws(11);
  const matrix = (inputs: number, outputs: number, std = 0.06): NamedArray =>
    transposed(draws.normals(inputs * outputs, std), inputs, outputs);
  const norm: NamedArray = { shape: [WIDTH], data: new Float32Array(WIDTH).fill(1) };
  const weights = new Map<string, NamedArray>();
  weights.set("model.embed_tokens.weight", { shape: [VOCABULARY, WIDTH], data: draws.normals(VOCABULARY * WIDTH, 0.02) });
  for (let layer = 0; layer < LAYERS; layer++) {
    const at = `model.layers.${layer}.`;
    weights.set(`${at}input_layernorm.weight`, norm).set(`${at}post_attention_layernorm.weight`, norm);
    for (const name of ["q", "k", "v", "o"]) weights.set(`${at}self_attn.${name}_proj.weight`, matrix(WIDTH, WIDTH));
    for (const name of ["gate", "up"]) weights.set(`${at}mlp.${name}_proj.weight`, matrix(WIDTH, FEED_FORWARD));
    weights.set(`${at}mlp.down_proj.weight`, matrix(FEED_FORWARD, WIDTH, 0.04));
  }
  weights.set("model.norm.weight", norm).set("lm_head.weight", matrix(WIDTH, VOCABULARY));
  const ids = draws.integers(BATCH * (TIME + 1), VOCABULARY);
  const shifted = (by: number): NamedArray => ({
    shape: [BATCH, TIME],
    data: Int32Array.from({ length: LLAMA_TOKENS }, (_, i) => ids[Math.floor(i / TIME) * (TIME + 1) + (i % TIME) + by]),
  });
  return { weights, batch: new Map([["x", shifted(0)], ["y", shifted(1)]]) };
}

/** One step that trains all of its weights: mean cross-entropy over the 256 tokens, gradients, Adam at 1e-3. */
export function llamaStep(device: Device): TrainingStep {
  const { weights, batch } = llamaArrays();
  const model = LlamaForCausalLM.fromConfig(parseLlamaConfig(LLAMA_CONFIG), { seed: 0, device });
  model.loadStateDict(tensorsOf(weights, device));
  const data = tensorsOf(batch, device);
  const [x, y] = ["x", "y"].map((name) => data.get(name) as Tensor);
  const { lmHead } = model;
  if (!(lmHead instanceof Linear)) throw new Error("the head of the benchmark's Llama is not a Linear");
  const optimizer = new AdamW(model.parameters(), { lr: 1e-3, weightDecay: 0 });
  const step = capture((inputIds: Tensor, labels: Tensor) => {
    const loss = tidy(() => linearCrossEntropy(model.model.forward({ inputIds }), lmHead.weight, labels));
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return [loss];
  });
  return () => step(x, y)[0];
}
