import { add, linear } from "../ops/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { parameterOf, uniformInit, type WeightInit } from "./init.ts";
import { Module } from "./module.ts";

/** Options of `Linear`. */
export interface LinearOptions {
  /** Default true. */
  readonly bias?: boolean;
  /** First values of weight and bias. Default: uniform in ±1/√inFeatures, as PyTorch. */
  readonly init?: WeightInit;
  /** First value of the bias. Default: as `init`. */
  readonly biasInit?: WeightInit;
  /** Share this parameter [outFeatures, inFeatures] (tied weights) instead of making one. */
  readonly weight?: Parameter | null;
}

/** `y = x · weightᵀ + bias` on the last axis: x[*, inFeatures] -> y[*, outFeatures]. */
export class Linear extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** [outFeatures, inFeatures] */
  weight: Parameter;
  /** [outFeatures] */
  bias: Parameter | null;

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    const { bias = true, init = uniformInit(inFeatures), biasInit = init } = options;
    this.inFeatures = inFeatures;
    this.outFeatures = outFeatures;
    this.weight = options.weight ?? parameterOf(init([outFeatures, inFeatures]));
    this.bias = bias ? parameterOf(biasInit([outFeatures])) : null;
  }

  /** x[*, inFeatures] -> y[*, outFeatures] */
  forward(x: Tensor): Tensor {
    const y = linear(x, this.weight);
    return this.bias ? add(y, this.bias) : y;
  }
}
