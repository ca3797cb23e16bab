import type { Tensor } from "../tensor/tensor.ts";
import { configOptions, parseConfig, readConfigText, type WarningHandler } from "./config-json.ts";
import { type LoraInit, LoraLayer } from "./lora-layer.ts";
import {
  boolean,
  COMMON_OPTIONS,
  COMMON_UNSUPPORTED,
  type ConfigSchema,
  dropoutRate,
  finite,
  PeftConfig,
  type PeftConfigOptions,
  refuseField,
} from "./peft-config.ts";

/** Settings of a LoRA adapter. */
export interface LoraConfigOptions extends PeftConfigOptions {
  /** The update is B·A times loraAlpha / r. Default 8. */
  readonly loraAlpha?: number;
  /** Rate of dropout on the elements of the adapter's input, in training. Default 0. */
  readonly loraDropout?: number;
  /** True: A uniform, B = 0. "gaussian": A normal, B = 0. False: both uniform. Default true. */
  readonly initLoraWeights?: LoraInit;
  /** Scale by loraAlpha / √r instead (Kalajdzievski 2023, rank-stabilised LoRA). Default false. */
  readonly useRslora?: boolean;
}

const SCHEMA: ConfigSchema = {
  peftType: "LORA",
  className: "LoraConfig",
  options: [...COMMON_OPTIONS, "loraAlpha", "loraDropout", "initLoraWeights", "useRslora"],
  unsupported: {
    ...COMMON_UNSUPPORTED,
    alora_invocation_tokens: null,
    alpha_pattern: {},
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
    use_dora: false,
    use_qalora: false,
    velora_config: null,
  },
  floats: new Set(["lora_dropout"]),
};

/** Settings of LoRA (Hu et al., ICLR 2022), PEFT's `LoraConfig` in camelCase. */
export class LoraConfig extends PeftConfig {
  readonly loraAlpha: number;
  readonly loraDropout: number;
  readonly initLoraWeights: LoraInit;
  readonly useRslora: boolean;

  /** @throws AdapterConfigError for an unknown option, or a value that is out of range or not supported */
  constructor(options: LoraConfigOptions = {}) {
    super(SCHEMA, options);
    const { loraAlpha = 8, loraDropout = 0, initLoraWeights = true, useRslora = false } = options;
    this.loraAlpha = finite("lora_alpha", loraAlpha);
    this.loraDropout = dropoutRate("lora_dropout", loraDropout);
    const isInit = typeof initLoraWeights === "boolean" || initLoraWeights === "gaussian";
    if (!isInit) refuseField("init_lora_weights", initLoraWeights, 'it takes true, false or "gaussian"');
    this.initLoraWeights = initLoraWeights;
    this.useRslora = boolean("use_rslora", useRslora);
  }

  override get schema(): ConfigSchema {
    return SCHEMA;
  }

  override createLayer(weight: Tensor): LoraLayer {
    const { r, loraAlpha, useRslora, initLoraWeights: init, loraDropout: dropout } = this;
    return new LoraLayer(weight, { r, scaling: loraAlpha / (useRslora ? Math.sqrt(r) : r), init, dropout });
  }

  override with(changes: LoraConfigOptions): LoraConfig {
    return new LoraConfig({ ...this.settings(), ...changes });
  }

  /**
   * The config in the text of an `adapter_config.json`.
   *
   * @throws AdapterConfigError for another method's, or what is not supported
   */
  static fromJson(text: string, warn?: WarningHandler): LoraConfig {
    return new LoraConfig(configOptions(SCHEMA, parseConfig(text), warn));
  }

  /** The config in the `adapter_config.json` of a directory. @throws AdapterFileError, AdapterConfigError */
  static async fromPretrained(dir: string, warn?: WarningHandler): Promise<LoraConfig> {
    return LoraConfig.fromJson(await readConfigText(dir), warn);
  }
}
