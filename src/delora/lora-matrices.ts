import { rand, randn, zeros } from "../ops/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { adapterDType, kaimingBound, trainable } from "./adapter-layer.ts";

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

/** First values of A [r, in] and B [out, r] for a frozen weight [out, in]. */
export function loraMatrices(weight: Tensor, { r, init }: LoraLayerOptions): { a: Parameter; b: Parameter } {
  const [outFeatures, inFeatures] = weight.shape;
  const like = { dtype: adapterDType(weight), device: weight.device };
  const uniform = (shape: number[], bound: number): Tensor =>
    rand(shape, { low: -bound, high: bound, ...like });
  const a =
    init === "gaussian"
      ? randn([r, inFeatures], { std: 1 / r, ...like })
      : uniform([r, inFeatures], kaimingBound(inFeatures));
  const b = init === false ? uniform([outFeatures, r], kaimingBound(r)) : zeros([outFeatures, r], like);
  return { a: trainable(a, weight), b: trainable(b, weight) };
}
