import type { LlamaConfig } from "../io/index.ts";
import { add, attention, reshape, rope, swiglu } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { WeightInit } from "./init.ts";
import type { KvCache } from "./kv-cache.ts";
import { Linear } from "./linear.ts";
import { Module, type TensorModule } from "./module.ts";
import { RMSNorm } from "./norms.ts";
import type { RopeAngles } from "./rotary.ts";

/** First values of a Llama's parameters. */
export interface LlamaInit {
  /** Of linear weights and embeddings. */
  readonly weight: WeightInit;
  readonly bias: WeightInit;
  readonly norm: WeightInit;
}

/** What all layers share in one pass. */
export interface LayerContext extends RopeAngles {
  /** Keys that may be attended to, besides causality: bool [batch, cached + time]. */
  readonly mask: Tensor;
  readonly cache: KvCache | null;
}

const projection = (from: number, to: number, bias: boolean, init: LlamaInit): Linear =>
  new Linear(from, to, { bias, init: init.weight, biasInit: init.bias });

/** Causal self-attention with rotary positions; each key-value head serves several query heads. */
export class LlamaAttention extends Module {
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  /** Position of the layer in the model: its place in a `KvCache`. */
  readonly layerIndex: number;
  qProj: TensorModule;
  kProj: TensorModule;
  vProj: TensorModule;
  oProj: TensorModule;

  constructor(config: LlamaConfig, layerIndex: number, init: LlamaInit) {
    super();
    const { hiddenSize, numAttentionHeads, numKeyValueHeads, headDim, attentionBias } = config;
    this.numHeads = numAttentionHeads;
    this.numKeyValueHeads = numKeyValueHeads;
    this.headDim = headDim;
    this.layerIndex = layerIndex;
    this.qProj = projection(hiddenSize, numAttentionHeads * headDim, attentionBias, init);
    this.kProj = projection(hiddenSize, numKeyValueHeads * headDim, attentionBias, init);
    this.vProj = projection(hiddenSize, numKeyValueHeads * headDim, attentionBias, init);
    this.oProj = projection(numAttentionHeads * headDim, hiddenSize, attentionBias, init);
  }

  /** x[batch, time, hidden] -> y[batch, time, hidden] */
  forward(x: Tensor, { cos, sin, mask, cache }: LayerContext): Tensor {
    const [batch, time] = x.shape;
    const heads = (y: Tensor, count: number): Tensor =>
      reshape(y, { shape: [batch, time, count, this.headDim] });
    const q = rope(heads(this.qProj.forward(x), this.numHeads), cos, sin);
    const k = rope(heads(this.kProj.forward(x), this.numKeyValueHeads), cos, sin);
    const v = heads(this.vProj.forward(x), this.numKeyValueHeads);
    const all = cache ? cache.append(this.layerIndex, { k, v }) : { k, v };
    const y = attention(q, all.k, all.v, mask);
    return this.oProj.forward(reshape(y, { shape: [batch, time, this.numHeads * this.headDim] }));
  }
}

/** The gated feed-forward part: `down(silu(gate(x)) · up(x))`. */
export class LlamaMLP extends Module {
  gateProj: TensorModule;
  upProj: TensorModule;
  downProj: TensorModule;

  constructor({ hiddenSize, intermediateSize, mlpBias }: LlamaConfig, init: LlamaInit) {
    super();
    this.gateProj = projection(hiddenSize, intermediateSize, mlpBias, init);
    this.upProj = projection(hiddenSize, intermediateSize, mlpBias, init);
    this.downProj = projection(intermediateSize, hiddenSize, mlpBias, init);
  }

  /** x[*, hidden] -> y[*, hidden] */
  forward(x: Tensor): Tensor {
    return this.downProj.forward(swiglu(this.gateProj.forward(x), this.upProj.forward(x)));
  }
}

/** Attention and MLP, each on a normalised copy of the residual stream and added to it. */
export class LlamaDecoderLayer extends Module {
  selfAttn: LlamaAttention;
  mlp: LlamaMLP;
  inputLayernorm: TensorModule;
  postAttentionLayernorm: TensorModule;

  constructor(config: LlamaConfig, layerIndex: number, init: LlamaInit) {
    super();
    const norm = { eps: config.rmsNormEps, init: init.norm };
    this.selfAttn = new LlamaAttention(config, layerIndex, init);
    this.mlp = new LlamaMLP(config, init);
    this.inputLayernorm = new RMSNorm(config.hiddenSize, norm);
    this.postAttentionLayernorm = new RMSNorm(config.hiddenSize, norm);
  }

  /** x[batch, time, hidden] -> y[batch, time, hidden] */
  forward(x: Tensor, context: LayerContext): Tensor {
    const attended = add(x, this.selfAttn.forward(this.inputLayernorm.forward(x), context));
    return add(attended, this.mlp.forward(this.postAttentionLayernorm.forward(attended)));
  }
}
