import { embedding, equal, isGradEnabled, randn, unsqueeze, where } from "../ops/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameterOf, type WeightInit } from "./init.ts";
import { Module } from "./module.ts";

/** One learned vector an id. */
export class Embedding extends Module {
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  /** [numEmbeddings, embeddingDim] */
  weight: Parameter;

  /** Id whose vector gets no gradient, as PyTorch's `padding_idx`; null: every vector learns. */
  readonly paddingId: number | null;

  /** @param options `init`: first value of the weight; default normal(0, 1), as PyTorch */
  constructor(
    numEmbeddings: number,
    embeddingDim: number,
    options: { readonly init?: WeightInit; readonly paddingId?: number | null } = {},
  ) {
    super();
    const { init = randn, paddingId = null } = options;
    this.paddingId = paddingId;
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    this.weight = parameterOf(init([numEmbeddings, embeddingDim]));
  }

  /** ids[*]:i32 -> y[*, embeddingDim] */
  forward(ids: Tensor): Tensor {
    const vectors = embedding(ids, this.weight);
    if (this.paddingId === null || !this.weight.requiresGrad || !isGradEnabled()) return vectors;
    const isPadding = unsqueeze(equal(ids, this.paddingId), { axis: -1 });
    return where(isPadding, vectors.detach(), vectors);
  }
}
