import { abs, add, full, max, mul, rand, tidy, zeros } from "../ops/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { adapterDType, kaimingBound, LowRankLayer, type Strength, trainable, type Directions, type Factors } from "./adapter-layer.ts";
import { type ConfigSchema, dropoutRate, finite, flag, numberPatterns, oneOf } from "./config-fields.ts";
import { AdapterConfigError } from "./errors.ts";
import { columnNorms, deloraFactors } from "./formula.ts";
import { registerMethod } from "./methods.ts";
import { PaperDeloraLayer } from "./paper-delora.ts";
import { COMMON_FIELDS, PeftConfig, type PeftConfigOptions } from "./peft-config.ts";

/** Settings of a DeLoRA adapter. */
export interface DeloraConfigOptions extends PeftConfigOptions {
  /** The strength λ at the start; it is trained. ‖ΔW‖_F ≤ |λ|·max_j ‖W[:, j]‖. Default 15. */
  readonly deloraLambda?: number;
  /** Strengths that differ: the first key that matches the last parts of a name, as a regular expression. */
  readonly lambdaPattern?: Readonly<Record<string, number>>;
  /** Rate of dropout on the elements of the adapter's input, in training. Default 0. */
  readonly moduleDropout?: number;
  /** True: B starts at 0 and the model is unchanged. False: B is random too. Default true. */
  readonly initWeights?: boolean;
  /**
   * "peft": B starts at 0 and norms are bounded from below, so that the first step jumps to full strength at any
   * learning rate. "paper": A and B start random, their first update is subtracted for good, norms are not
   * bounded (Bini et al. 2025, equation 9); saved as an adapter of twice the rank that PEFT loads. Default "peft".
   */
  readonly variant?: "peft" | "paper";
}

/** Settings of DeLoRA (Bini et al., ICLR 2025), PEFT's `DeloraConfig` in camelCase. */
export class DeloraConfig extends PeftConfig {
  static override readonly schema: ConfigSchema = {
    peftType: "DELORA",
    className: "DeloraConfig",
    modelType: "DeloraModel",
    moduleType: "delora.DeloraLinear",
    prefix: "delora_",
    fields: {
      ...COMMON_FIELDS,
      deloraLambda: finite(15),
      lambdaPattern: numberPatterns,
      moduleDropout: dropoutRate,
      initWeights: flag(true),
      variant: { ...oneOf("peft", ["peft", "paper"]), isExtension: true },
    },
    unsupported: {},
    warnedPatterns: ["rankPattern"],
  };
  declare readonly deloraLambda: number;
  declare readonly lambdaPattern: Readonly<Record<string, number>>;
  declare readonly moduleDropout: number;
  declare readonly initWeights: boolean;
  declare readonly variant: "peft" | "paper";

  /** @throws AdapterConfigError for an unknown option, or a value that is out of range or not supported */
  constructor(options: DeloraConfigOptions = {}) {
    super(options);
    if (this.variant === "paper" && !this.initWeights) {
      const why = "the paper's variant starts from random A and B and no change: leave `init_weights` true";
      throw new AdapterConfigError("init_weights", false, why);
    }
  }

  override createLayer(weight: Tensor, path: string): DeloraLayer | PaperDeloraLayer {
    const lambda = this.patternValue("lambdaPattern", this.lambdaPattern, path) ?? this.deloraLambda;
    const init = { r: this.rankOf(path), lambda, dropout: this.moduleDropout };
    if (this.variant === "paper") return new PaperDeloraLayer(weight, init);
    return new DeloraLayer(weight, { ...init, initWeights: this.initWeights });
  }

  override exported(): DeloraConfig {
    if (this.variant === "peft") return this;
    const doubled = Object.entries(this.rankPattern).map(([key, r]) => [key, 2 * r]);
    return this.with({ variant: "peft", r: 2 * this.r, rankPattern: Object.fromEntries(doubled) });
  }

  override with(changes: DeloraConfigOptions): this {
    return super.with(changes);
  }
}

registerMethod(DeloraConfig);

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
