import type { Tensor } from "../tensor/tensor.ts";
import { type ConfigSchema, dropoutRate, finite, flag, numberPatterns, oneOf } from "./config-fields.ts";
import { DeloraLayer } from "./delora-layer.ts";
import { AdapterConfigError } from "./errors.ts";
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

  override createLayer(weight: Tensor, path: string): DeloraLayer {
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
