import type { Tensor } from "../tensor/tensor.ts";
import { configOptions, parseConfig, readConfigText, type WarningHandler } from "./config-json.ts";
import { DeloraLayer } from "./delora-layer.ts";
import {
  boolean,
  COMMON_OPTIONS,
  COMMON_UNSUPPORTED,
  type ConfigSchema,
  dropoutRate,
  finite,
  PeftConfig,
  type PeftConfigOptions,
} from "./peft-config.ts";

/** Settings of a DeLoRA adapter. */
export interface DeloraConfigOptions extends PeftConfigOptions {
  /** The strength λ at the start; it is trained. ‖ΔW‖_F ≤ |λ|·max_j ‖W[:, j]‖. Default 15. */
  readonly deloraLambda?: number;
  /** Rate of dropout on the elements of the adapter's input, in training. Default 0. */
  readonly moduleDropout?: number;
  /** True: B starts at 0 and the model is unchanged. False: B is random too. Default true. */
  readonly initWeights?: boolean;
}

const SCHEMA: ConfigSchema = {
  peftType: "DELORA",
  className: "DeloraConfig",
  options: [...COMMON_OPTIONS, "deloraLambda", "moduleDropout", "initWeights"],
  unsupported: { ...COMMON_UNSUPPORTED, lambda_pattern: {} },
  floats: new Set(["module_dropout"]),
};

/** Settings of DeLoRA (Bini et al., ICLR 2025), PEFT's `DeloraConfig` in camelCase. */
export class DeloraConfig extends PeftConfig {
  readonly deloraLambda: number;
  readonly moduleDropout: number;
  readonly initWeights: boolean;

  /** @throws AdapterConfigError for an unknown option, or a value that is out of range or not supported */
  constructor(options: DeloraConfigOptions = {}) {
    super(SCHEMA, options);
    const { deloraLambda = 15, moduleDropout = 0, initWeights = true } = options;
    this.deloraLambda = finite("delora_lambda", deloraLambda);
    this.moduleDropout = dropoutRate("module_dropout", moduleDropout);
    this.initWeights = boolean("init_weights", initWeights);
  }

  override get schema(): ConfigSchema {
    return SCHEMA;
  }

  override createLayer(weight: Tensor): DeloraLayer {
    const { r, deloraLambda: lambda, initWeights, moduleDropout: dropout } = this;
    return new DeloraLayer(weight, { r, lambda, initWeights, dropout });
  }

  override with(changes: DeloraConfigOptions): DeloraConfig {
    return new DeloraConfig({ ...this.settings(), ...changes });
  }

  /**
   * The config in the text of an `adapter_config.json`.
   *
   * @throws AdapterConfigError for another method's, or what is not supported
   */
  static fromJson(text: string, warn?: WarningHandler): DeloraConfig {
    return new DeloraConfig(configOptions(SCHEMA, parseConfig(text), warn));
  }

  /** The config in the `adapter_config.json` of a directory. @throws AdapterFileError, AdapterConfigError */
  static async fromPretrained(dir: string, warn?: WarningHandler): Promise<DeloraConfig> {
    return DeloraConfig.fromJson(await readConfigText(dir), warn);
  }
}
