import { mul, rand, randn, zeros } from "../ops/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { adapterDType, kaimingBound, LowRankLayer, trainable } from "./adapter-layer.ts";
import type { Factors } from "./formula.ts";

/**
 * First values. True: A uniform, B = 0. "gaussian": A normal with deviation 1/r, B = 0. False: both
 * uniform.
 */
export type LoraInit = boolean | "gaussian";

/** What a LoRA adapter starts from. */
export interface LoraLayerOptions {
  readonly r: number;
  /** Factor of the update: loraAlpha / r, or loraAlpha / √r. */
  readonly scaling: number;
  readonly init: LoraInit;
  /** Rate of dropout on the input. */
  readonly dropout: number;
}

/** LoRA on one Linear: ΔW = scaling · B·A (Hu et al., ICLR 2022). */
export class LoraLayer extends LowRankLayer {
  static override readonly stateNames = { a: "lora_A.weight", b: "lora_B.weight" };

  override readonly dropout: number;
  readonly scaling: number;
  /** [r, in] */
  readonly a: Parameter;
  /** [out, r] */
  readonly b: Parameter;

  /** @param weight the frozen weight [out, in] */
  constructor(weight: Tensor, { r, scaling, init, dropout }: LoraLayerOptions) {
    super();
    const [outFeatures, inFeatures] = weight.shape;
    const like = { dtype: adapterDType(weight), device: weight.device };
    const uniform = (shape: number[], bound: number): Tensor =>
      rand(shape, { low: -bound, high: bound, ...like });
    this.dropout = dropout;
    this.scaling = scaling;
    const isGaussian = init === "gaussian";
    this.a = trainable(
      isGaussian
        ? randn([r, inFeatures], { std: 1 / r, ...like })
        : uniform([r, inFeatures], kaimingBound(inFeatures)),
    );
    this.b = trainable(
      init === false ? uniform([outFeatures, r], kaimingBound(r)) : zeros([outFeatures, r], like),
    );
  }

  override factors(): Factors {
    return { down: this.a, up: mul(this.b, this.scaling) };
  }
}
