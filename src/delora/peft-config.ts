import type { Tensor } from "../tensor/tensor.ts";
import type { AdapterLayer } from "./adapter-layer.ts";
import {
  biasMode,
  type ConfigField,
  type ConfigSchema,
  flag,
  layerNumbers,
  moduleNames,
  type Names,
  numberPatterns,
  positiveInteger,
  snakeCase,
  text,
  textList,
  textRecord,
  texts,
} from "./config-fields.ts";
import { configOptions, parseConfig, readConfigText, type WarningHandler } from "./config-json.ts";
import { AdapterConfigError } from "./errors.ts";
import { floatKeys, type JsonValue, toPythonJson } from "./python-json.ts";
import { patternValue } from "./select-modules.ts";

/** The PEFT release whose files are written. */
export const PEFT_VERSION = "0.21.0";

/** What the adapted model is for, in PEFT's words. */
export type TaskType =
  | "SEQ_CLS"
  | "SEQ_2_SEQ_LM"
  | "CAUSAL_LM"
  | "TOKEN_CLS"
  | "QUESTION_ANS"
  | "FEATURE_EXTRACTION";

const TASK_TYPES: readonly string[] = [
  "SEQ_CLS",
  "SEQ_2_SEQ_LM",
  "CAUSAL_LM",
  "TOKEN_CLS",
  "QUESTION_ANS",
  "FEATURE_EXTRACTION",
];

/** Settings that every method has. */
export interface PeftConfigOptions {
  /** Rank of the update. Default 8. */
  readonly r?: number;
  /**
   * Modules to adapt. A list holds full names or the last parts of names; a text is a regular expression (of
   * Python's syntax) for the whole name, or "all-linear": every Linear but the head. Default null: `q_proj` and
   * `v_proj` of a Llama.
   */
  readonly targetModules?: Names | null;
  /** Modules that are not adapted even so: a list or a regular expression as above. Default null. */
  readonly excludeModules?: Names | null;
  /** Only layers of these numbers are adapted; full names in `targetModules` are whatever their layer. Default null. */
  readonly layersToTransform?: number | readonly number[] | null;
  /** Regular expression of what stands before a layer's number, `layers` in a Llama. Default null: anything. */
  readonly layersPattern?: Names | null;
  /** Ranks that differ from `r`: the first key that matches the last parts of a name, as a regular expression. */
  readonly rankPattern?: Readonly<Record<string, number>>;
  /** Modules of which the adapter has a copy of its own, trained in full and saved with it. Default null. */
  readonly modulesToSave?: readonly string[] | null;
  /**
   * Biases to train, in place: "none", "all", or those of the adapted modules: "delora_only", "lora_only". One
   * adapter of a model can have them. Default "none".
   */
  readonly bias?: string;
  /** Default null. */
  readonly taskType?: TaskType | null;
  /** The adapter is not trainable. Default false. */
  readonly inferenceMode?: boolean;
  /** Where the base model comes from; `getPeftModel` fills it in. Default null. */
  readonly baseModelNameOrPath?: string | null;
  /** Revision of the base model. Default null. */
  readonly revision?: string | null;
  /** The base model's Python class and module, which PEFT notes where there is no task type. Default null. */
  readonly autoMapping?: Readonly<Record<string, string>> | null;
}

const taskType: ConfigField<TaskType | null> = {
  default: null,
  check(name, value) {
    if (value === null || TASK_TYPES.includes(value as string)) return value as TaskType | null;
    const list = TASK_TYPES.join(", ");
    const why = `Invalid task type: '${value}'. Must be one of the following task types: ${list}.`;
    throw new AdapterConfigError(name, value, why);
  },
};

/** The fields of PeftConfigOptions. */
export const COMMON_FIELDS = {
  r: positiveInteger(8),
  targetModules: moduleNames,
  excludeModules: moduleNames,
  layersToTransform: layerNumbers,
  layersPattern: texts,
  rankPattern: numberPatterns,
  modulesToSave: textList,
  bias: biasMode,
  taskType,
  inferenceMode: flag(false),
  baseModelNameOrPath: text,
  revision: text,
  autoMapping: textRecord,
} as const satisfies Readonly<Record<string, ConfigField>>;

/** A config class: what `registerMethod` takes. */
export interface ConfigClass<C extends PeftConfig = PeftConfig> {
  new (options?: Record<string, unknown>): C;
  readonly schema: ConfigSchema;
}

/**
 * The settings of an adapter, immutable. Its fields are PEFT's in camelCase; `toJson` writes PEFT's
 * `adapter_config.json`.
 */
export abstract class PeftConfig {
  /** What the method adds. */
  static readonly schema: ConfigSchema;

  declare readonly r: number;
  declare readonly targetModules: Names | null;
  declare readonly excludeModules: Names | null;
  declare readonly layersToTransform: number | readonly number[] | null;
  declare readonly layersPattern: Names | null;
  declare readonly rankPattern: Readonly<Record<string, number>>;
  declare readonly modulesToSave: readonly string[] | null;
  declare readonly bias: string;
  declare readonly taskType: TaskType | null;
  declare readonly inferenceMode: boolean;
  declare readonly baseModelNameOrPath: string | null;
  declare readonly revision: string | null;
  declare readonly autoMapping: Readonly<Record<string, string>> | null;
  /** Fields, and keys of patterns, that the file it was read from held as floats; written as such again. */
  #floats: ReadonlySet<string> = new Set();
  readonly #matchers = new Map<string, (path: string) => number | undefined>();

  /** @throws AdapterConfigError for an unknown option, or a value that is out of range or not supported */
  constructor(options: PeftConfigOptions = {}) {
    const { schema } = this;
    const { fields } = schema;
    refuseUnknown(schema, options);
    checkLayers(schema, options);
    const given = new Map<string, unknown>(Object.entries(options));
    for (const [option, field] of Object.entries(fields)) {
      const value = given.get(option);
      Reflect.set(this, option, value === undefined ? field.default : field.check(snakeCase(option), value));
    }
  }

  /** What the method adds. */
  get schema(): ConfigSchema {
    return (this.constructor as unknown as ConfigClass).schema;
  }

  /** PEFT's name of the method. */
  get peftType(): string {
    return this.schema.peftType;
  }

  /**
   * A new adapter of this config, freshly initialised, for the frozen weight [out, in] of the module at `path`.
   *
   * @throws AdapterConfigError for a rank below 1
   */
  abstract createLayer(weight: Tensor, path: string): AdapterLayer;

  /** The config that `savePretrained` writes beside the adapter's tensors: this one, where it can be told in PEFT's fields. */
  exported(): PeftConfig {
    return this;
  }

  /** The rank of the adapter of the module at `path`. @throws AdapterConfigError when it is below 1 */
  rankOf(path: string): number {
    const r = this.patternValue("rankPattern", this.rankPattern, path) ?? this.r;
    if (Number.isSafeInteger(r) && r > 0) return r;
    const why = `\`r\` should be a positive integer value but the value passed is ${r}`;
    throw new AdapterConfigError("rank_pattern", r, why);
  }

  /** The value of the first of the patterns that matches `path`; undefined when none does. @throws PatternError */
  protected patternValue(
    option: string,
    patterns: Readonly<Record<string, number>>,
    path: string,
  ): number | undefined {
    const matcher = this.#matchers.get(option) ?? patternValue(patterns);
    this.#matchers.set(option, matcher);
    return matcher(path);
  }

  /** The same config with some settings changed. */
  with(changes: PeftConfigOptions): this {
    const Class = this.constructor as new (options: object) => this;
    const changed = new Class({ ...this.settings(), ...changes });
    changed.#floats = this.#floats;
    return changed;
  }

  /** The settings by their names, as the constructor takes them. */
  settings(): PeftConfigOptions {
    const { fields } = this.schema;
    return Object.fromEntries(Object.entries(this).filter(([name]) => Object.hasOwn(fields, name)));
  }

  /**
   * The text of PEFT's `adapter_config.json`, byte for byte: keys sorted, two spaces of indent, ASCII only,
   * floats as `0.0`, no newline at the end.
   */
  toJson(): string {
    const { fields, unsupported, peftType } = this.schema;
    const own = { peft_type: peftType, peft_version: PEFT_VERSION };
    const written: Record<string, JsonValue> = { ...unsupported, ...own };
    const floats = new Set(this.#floats);
    const values = new Map(Object.entries(this));
    for (const [option, { isFloat, isExtension }] of Object.entries(fields)) {
      if (isExtension) continue;
      written[snakeCase(option)] = values.get(option) as JsonValue;
      if (isFloat) floats.add(snakeCase(option));
    }
    return toPythonJson(written, floats);
  }

  /**
   * The config in the text of an `adapter_config.json`.
   *
   * @throws AdapterConfigError for another method's, or what is not supported
   */
  static fromJson<C extends PeftConfig>(this: ConfigClass<C>, text: string, warn?: WarningHandler): C {
    // biome-ignore lint/complexity/noThisInStatic: `this` is the method's own class
    const config = new this(configOptions(this.schema, parseConfig(text), warn));
    config.#floats = floatKeys(text);
    return config;
  }

  /** The config in the `adapter_config.json` of a directory. @throws AdapterFileError, AdapterConfigError */
  static async fromPretrained<C extends PeftConfig>(
    this: ConfigClass<C>,
    dir: string,
    warn?: WarningHandler,
  ): Promise<C> {
    // biome-ignore lint/complexity/noThisInStatic: `this` is the method's own class
    return PeftConfig.fromJson.call(this, await readConfigText(dir), warn) as C;
  }
}

function refuseUnknown({ className, fields }: ConfigSchema, given: object): void {
  const unknown = Object.entries(given).find(([name]) => !Object.hasOwn(fields, name));
  if (unknown === undefined) return;
  const [name, value] = unknown;
  const why = `${className} got an unexpected option "${name}"; its options are ${Object.keys(fields).join(", ")}`;
  throw new AdapterConfigError(snakeCase(name), value, why);
}

function checkLayers(schema: ConfigSchema, options: PeftConfigOptions): void {
  const { targetModules, layersToTransform = null, layersPattern = null } = options;
  const isPattern = typeof targetModules === "string";
  if (isPattern && layersToTransform !== null) {
    const why = "`layers_to_transform` cannot be used when `target_modules` is a str.";
    throw new AdapterConfigError("layers_to_transform", layersToTransform, why);
  }
  if (isPattern && layersPattern !== null && schema.refusesPatternOfLayers) {
    const why = "`layers_pattern` cannot be used when `target_modules` is a str.";
    throw new AdapterConfigError("layers_pattern", layersPattern, why);
  }
  if (layersPattern?.length && layersToTransform === null) {
    const why = "When `layers_pattern` is specified, `layers_to_transform` must also be specified. ";
    throw new AdapterConfigError("layers_pattern", layersPattern, why);
  }
}
