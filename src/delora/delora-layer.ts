import { abs, add, full, max, mul, rand, tidy, zeros } from "../ops/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import {
  adapterDType,
  type Directions,
  type Factors,
  kaimingBound,
  LowRankLayer,
  type Strength,
  trainable,
} from "./adapter-layer.ts";
import { columnNorms, deloraFactors } from "./formula.ts";

/** What a DeLoRA adapter starts from. */
export interface DeloraInit {
  readonly r: number;
  /** First value of the strength. */
  readonly lambda: number;
  /** True: B = 0. False: B is random too. */
  readonly initWeights: boolean;
  /** Rate of dropout on the input. */
  readonly dropout: number;
}

/** DeLoRA on one Linear: angles A and B, strength λ, and the column norms of the weight, taken once. */
export class DeloraLayer extends LowRankLayer {
  static override readonly stateNames = {
    a: "delora_A",
    b: "delora_B",
    lambda: "delora_lambda",
    wNorm: "delora_w_norm",
  };
  static override readonly buffers = ["wNorm"];

  override readonly r: number;
  override readonly dropout: number;
  /** [r, in] */
  readonly a: Parameter;
  /** [out, r] */
  readonly b: Parameter;
  /** [1] */
  readonly lambda: Parameter;
  /** [in]; saved, never trained */
  readonly wNorm: Tensor;

  /** @param weight the frozen weight [out, in] */
  constructor(weight: Tensor, { r, lambda, initWeights, dropout }: DeloraInit) {
    super();
    const [outFeatures, inFeatures] = weight.shape;
    const like = { dtype: adapterDType(weight), device: weight.device };
    const uniform = (shape: number[], bound: number): Tensor =>
      rand(shape, { low: -bound, high: bound, ...like });
    this.r = r;
    this.dropout = dropout;
    const b = initWeights ? zeros([outFeatures, r], like) : uniform([outFeatures, r], kaimingBound(r));
    this.a = trainable(uniform([r, inFeatures], kaimingBound(inFeatures)), weight);
    this.b = trainable(b, weight);
    this.lambda = trainable(full([1], lambda, like), weight);
    this.wNorm = columnNorms(weight);
  }

  override directions(): Directions {
    return this;
  }

  override factors(): Factors {
    return deloraFactors(this);
  }

  override merged(weight: Tensor, _base: Tensor, round: (x: Tensor) => Tensor): Tensor {
    return add(weight, round(this.deltaWeight()));
  }

  override ofBase(): Tensor {
    return this.wNorm;
  }

  override strengthParameters(): Parameter[] {
    return [this.lambda];
  }

  override strength(): Strength {
    return { lambda: this.lambda, bound: tidy(() => mul(abs(this.lambda), max(this.wNorm))) };
  }
}
