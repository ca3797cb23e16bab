import { layerNorm, ones, rmsNorm, zeros } from "../ops/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameterOf, type WeightInit } from "./init.ts";
import { Module } from "./module.ts";

/** Root-mean-square normalisation of the last axis. */
export class RMSNorm extends Module {
  /** Added to the mean square. */
  readonly eps: number;
  /** [size] */
  readonly weight: Parameter;

  /** @param options `eps`: default 1e-6; `init`: first value of the weight, default ones */
  constructor(size: number, options: { readonly eps?: number; readonly init?: WeightInit } = {}) {
    super();
    const { eps = 1e-6, init = ones } = options;
    this.eps = eps;
    this.weight = parameterOf(init([size]));
  }

  /** x[*, size] -> y[*, size] */
  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight, { eps: this.eps });
  }
}

/** Normalisation of the last axis to mean 0 and variance 1, then scaled and shifted. */
export class LayerNorm extends Module {
  /** Added to the variance. */
  readonly eps: number;
  /** [size] */
  readonly weight: Parameter;
  /** [size] */
  readonly bias: Parameter;

  /** @param options `eps`: default 1e-5 */
  constructor(size: number, options: { readonly eps?: number } = {}) {
    super();
    this.eps = options.eps ?? 1e-5;
    this.weight = parameterOf(ones([size]));
    this.bias = parameterOf(zeros([size]));
  }

  /** x[*, size] -> y[*, size] */
  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight, this.bias, { eps: this.eps });
  }
}
