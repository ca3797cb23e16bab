import { mul } from "../ops/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type AdapterLayer, LowRankLayer, type Directions, type Factors } from "./adapter-layer.ts";
import { type ConfigField, type ConfigSchema, dropoutRate, finite, flag, numberPatterns, refuseField } from "./config-fields.ts";
import { DoraLayer } from "./dora.ts";
import { type LoraInit, type LoraLayerOptions, loraMatrices } from "./lora-matrices.ts";
import { registerMethod } from "./methods.ts";
import { COMMON_FIELDS, PeftConfig, type PeftConfigOptions } from "./peft-config.ts";

/** Settings of a LoRA adapter. */
export interface LoraConfigOptions extends PeftConfigOptions {
  /** The update is B·A times loraAlpha / r. Default 8. */
  readonly loraAlpha?: number;
  /** Alphas that differ: the first key that matches the last parts of a name, as a regular expression. */
  readonly alphaPattern?: Readonly<Record<string, number>>;
  /** Rate of dropout on the elements of the adapter's input, in training. Default 0. */
  readonly loraDropout?: number;
  /** True: A uniform, B = 0. "gaussian": A normal, B = 0. False: both uniform. Default true. */
  readonly initLoraWeights?: LoraInit;
  /** Scale by loraAlpha / √r instead (Kalajdzievski 2023, rank-stabilised LoRA). Default false. */
  readonly useRslora?: boolean;
  /** Learn the length of each row of the weight apart from its direction (Liu et al., ICML 2024, DoRA). Default false. */
  readonly useDora?: boolean;
}

const loraInit: ConfigField<LoraInit> = {
  default: true,
  check(name, value) {
    if (typeof value === "boolean" || value === "gaussian") return value;
    return refuseField(name, value, 'it takes true, false or "gaussian"');
  },
};

/** Settings of LoRA (Hu et al., ICLR 2022), PEFT's `LoraConfig` in camelCase. */
export class LoraConfig extends PeftConfig {
  static override readonly schema: ConfigSchema = {
    peftType: "LORA",
    className: "LoraConfig",
    modelType: "LoraModel",
    moduleType: "lora.Linear",
    prefix: "lora_",
    fields: {
      ...COMMON_FIELDS,
      loraAlpha: finite(8),
      alphaPattern: numberPatterns,
      loraDropout: dropoutRate,
      initLoraWeights: loraInit,
      useRslora: flag(false),
      useDora: flag(false),
    },
    unsupported: {
      alora_invocation_tokens: null,
      arrow_config: null,
      corda_config: null,
      ensure_weight_tying: false,
      eva_config: null,
      fan_in_fan_out: false,
      kasa_config: null,
      layer_replication: null,
      loftq_config: {},
      lora_bias: false,
      lora_ga_config: null,
      megatron_config: null,
      megatron_core: "megatron.core",
      monteclora_config: null,
      qalora_group_size: 16,
      target_parameters: null,
      trainable_token_indices: null,
      use_bdlora: null,
      use_qalora: false,
      velora_config: null,
    },
    warnedPatterns: ["rankPattern", "alphaPattern"],
    refusesPatternOfLayers: true,
  };
  declare readonly loraAlpha: number;
  declare readonly alphaPattern: Readonly<Record<string, number>>;
  declare readonly loraDropout: number;
  declare readonly initLoraWeights: LoraInit;
  declare readonly useRslora: boolean;
  declare readonly useDora: boolean;

  /** @throws AdapterConfigError for an unknown option, or a value that is out of range or not supported */
  constructor(options: LoraConfigOptions = {}) {
    super(options);
  }

  override createLayer(weight: Tensor, path: string): AdapterLayer {
    const r = this.rankOf(path);
    const alpha = this.patternValue("alphaPattern", this.alphaPattern, path) ?? this.loraAlpha;
    const scaling = alpha / (this.useRslora ? Math.sqrt(r) : r);
    const options = { r, scaling, init: this.initLoraWeights, dropout: this.loraDropout };
    return this.useDora ? new DoraLayer(weight, options) : new LoraLayer(weight, options);
  }

  override with(changes: LoraConfigOptions): this {
    return super.with(changes);
  }
}

registerMethod(LoraConfig);

/** LoRA on one Linear: ΔW = scaling · B·A (Hu et al., ICLR 2022). */
export class LoraLayer extends LowRankLayer {
  static override readonly stateNames = { a: "lora_A.weight", b: "lora_B.weight" };

  override readonly r: number;
  override readonly dropout: number;
  readonly scaling: number;
  /** [r, in] */
  readonly a: Parameter;
  /** [out, r] */
  readonly b: Parameter;

  /** @param weight the frozen weight [out, in] */
  constructor(weight: Tensor, options: LoraLayerOptions) {
    super();
    const { a, b } = loraMatrices(weight, options);
    this.r = options.r;
    this.dropout = options.dropout;
    this.scaling = options.scaling;
    this.a = a;
    this.b = b;
  }

  override directions(): Directions {
    return this;
  }

  override factors(): Factors {
    return { down: this.a, up: mul(this.b, this.scaling) };
  }
}
