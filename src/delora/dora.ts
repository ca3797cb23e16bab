import { add, cast, div, linear, matmul, mul, noGrad, norm, sub, tidy, unsqueeze } from "../ops/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { AdapterLayer, type LinearSite, trainable, type Directions } from "./adapter-layer.ts";
import { type LoraLayerOptions, loraMatrices } from "./lora-matrices.ts";

/**
 * DoRA on one Linear (Liu et al., ICML 2024): the rows of V = W + scaling·B·A give the direction, a magnitude for
 * each row the length, W' = diag(m / ‖V_o‖)·V. As in the paper's section 4.3, ‖V_o‖ is a constant in the backward
 * sweep.
 */
export class DoraLayer extends AdapterLayer {
  static override readonly stateNames = {
    a: "lora_A.weight",
    b: "lora_B.weight",
    magnitude: "lora_magnitude_vector.weight",
  };

  override readonly r: number;
  override readonly dropout: number;
  readonly scaling: number;
  /** [r, in] */
  readonly a: Parameter;
  /** [out, r] */
  readonly b: Parameter;
  /** m: [out] */
  readonly magnitude: Parameter;

  /** @param weight the frozen weight [out, in] */
  constructor(weight: Tensor, options: LoraLayerOptions) {
    super();
    const { a, b } = loraMatrices(weight, options);
    this.r = options.r;
    this.dropout = options.dropout;
    this.scaling = options.scaling;
    this.a = a;
    this.b = b;
    this.magnitude = trainable(this.#rowNorms(weight), weight);
  }

  override get needsBase(): boolean {
    return true;
  }

  override directions(): Directions {
    return this;
  }

  override forward(x: Tensor, { linear: base, y }: LinearSite): Tensor {
    const input = this.dropped(x);
    const direct = base.bias ? sub(y, base.bias) : y;
    const product = input === x ? direct : linear(input, base.weight);
    const scale = div(this.magnitude, this.#rowNorms(base.weight));
    const update = linear(linear(input, this.a), mul(this.b, this.scaling));
    return add(mul(sub(scale, 1), product), mul(scale, update));
  }

  /** scaling·B·A, as PEFT's `get_delta_weight`; what the magnitudes do on top is in `merged`. */
  override deltaWeight(): Tensor {
    return matmul(mul(this.b, this.scaling), this.a);
  }

  override merged(weight: Tensor, base: Tensor): Tensor {
    const scale = div(this.magnitude, this.#rowNorms(base));
    return mul(unsqueeze(scale, { axis: 1 }), add(weight, this.deltaWeight()));
  }

  override fileName(stateName: string): string {
    return stateName.startsWith("lora_magnitude_vector") ? "lora_magnitude_vector" : stateName;
  }

  /** ‖V_o‖: [out], not recorded. */
  #rowNorms(weight: Tensor): Tensor {
    return noGrad(() => tidy(() => norm(add(cast(weight, { dtype: this.a.dtype }), this.deltaWeight()), { axes: 1 })));
  }
}
