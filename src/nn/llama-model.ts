import type { LlamaConfig } from "../io/index.ts";
import { checkpoint, full, isGradEnabled, tidy } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Embedding } from "./embedding.ts";
import type { KvCache } from "./kv-cache.ts";
import { LlamaDecoderLayer, type LayerContext, type LlamaInit } from "./llama-layers.ts";
import { Module, type TensorModule } from "./module.ts";
import { RMSNorm } from "./norms.ts";
import { RotaryTables } from "./rotary.ts";

/** Input of `LlamaModel.forward`. */
export interface LlamaModelInputs {
  /** i32 [batch, time] */
  readonly inputIds: Tensor;
  /** bool [batch, cached + time], false for padding; absent: no padding. */
  readonly attentionMask?: Tensor | undefined;
  /** Positions before these; is extended. For use without recording. */
  readonly cache?: KvCache | undefined;
}

/** A Llama without its language-model head. */
export class LlamaModel extends Module {
  embedTokens: TensorModule;
  layers: LlamaDecoderLayer[];
  norm: TensorModule;
  /** Recompute each layer in the backward sweep instead of keeping its intermediates. */
  gradientCheckpointing = false;
  readonly #rotary: RotaryTables;

  constructor(config: LlamaConfig, init: LlamaInit) {
    super();
    const { vocabSize, hiddenSize, numHiddenLayers, rmsNormEps, padTokenId } = config;
    this.embedTokens = new Embedding(vocabSize, hiddenSize, { init: init.weight, paddingId: padTokenId });
    this.layers = Array.from({ length: numHiddenLayers }, (_, i) => new LlamaDecoderLayer(config, i, init));
    this.norm = new RMSNorm(hiddenSize, { eps: rmsNormEps, init: init.norm });
    this.#rotary = new RotaryTables(config);
  }

  /**
   * The normalised hidden state of each position: [batch, time, hidden]. Positions count from 0, or from the
   * end of the cache; ones beyond `maxPositionEmbeddings` are computed like the others, as in transformers.
   */
  forward({ inputIds, attentionMask, cache }: LlamaModelInputs): Tensor {
    const [batch, time] = inputIds.shape;
    const start = cache?.length ?? 0;
    const mask = attentionMask ?? full([batch, start + time], 1, { dtype: "bool", device: inputIds.device });
    let x = this.embedTokens.forward(inputIds);
    const context = { ...this.#rotary.at(start, start + time, x), mask, cache: cache ?? null };
    const recompute = this.gradientCheckpointing && isGradEnabled() && !cache;
    for (const layer of this.layers) {
      const input = x;
      // What no backward reads is free before the next layer runs.
      x = recompute ? recomputed(layer, input, context) : tidy(() => layer.forward(input, context));
    }
    return this.norm.forward(x);
  }
}

/** A layer whose intermediates are computed again in the backward sweep. */
function recomputed(layer: LlamaDecoderLayer, x: Tensor, { cos, sin, mask }: LayerContext): Tensor {
  const run = (x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor): Tensor =>
    layer.forward(x, { cos, sin, mask, cache: null });
  return checkpoint(run, x, cos, sin, mask);
}
