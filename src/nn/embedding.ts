import { embedding, randn } from "../ops/index.ts";
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

  /** @param options `init`: first value of the weight; default normal(0, 1), as PyTorch */
  constructor(numEmbeddings: number, embeddingDim: number, options: { readonly init?: WeightInit } = {}) {
    super();
    const { init = randn } = options;
    this.numEmbeddings = numEmbeddings;
    this.embeddingDim = embeddingDim;
    this.weight = parameterOf(init([numEmbeddings, embeddingDim]));
  }

  /** ids[*]:i32 -> y[*, embeddingDim] */
  forward(ids: Tensor): Tensor {
    return embedding(ids, this.weight);
  }
}
