import type { Tensor } from "../tensor/tensor.ts";
import type { AdapterLayer } from "./adapter-layer.ts";
import { AdapterConfigError } from "./errors.ts";
import { type JsonValue, pythonFloat, toPythonJson } from "./python-json.ts";

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
   * Modules to adapt: full names, or the last parts of names. Default null: `q_proj` and `v_proj` of a
   * Llama.
   */
  readonly targetModules?: readonly string[] | null;
  /** Default null. */
  readonly taskType?: TaskType | null;
  /** Biases stay frozen: the only mode so far. Default "none". */
  readonly bias?: "none";
  /** The adapter is not trainable. Default false. */
  readonly inferenceMode?: boolean;
  /** Where the base model comes from; `getPeftModel` fills it in. Default null. */
  readonly baseModelNameOrPath?: string | null;
  /** Revision of the base model. Default null. */
  readonly revision?: string | null;
  /** The base model's Python class and module, which PEFT notes where there is no task type. Default null. */
  readonly autoMapping?: Readonly<Record<string, string>> | null;
}

/** Names of the settings in PeftConfigOptions. */
export const COMMON_OPTIONS = [
  "r",
  "targetModules",
  "taskType",
  "bias",
  "inferenceMode",
  "baseModelNameOrPath",
  "revision",
  "autoMapping",
] as const;

/**
 * Fields of every PEFT config that are beyond this library so far, with the one value that asks for
 * nothing.
 */
export const COMMON_UNSUPPORTED: Readonly<Record<string, JsonValue>> = {
  exclude_modules: null,
  layers_pattern: null,
  layers_to_transform: null,
  modules_to_save: null,
  rank_pattern: {},
};

/** What sets one method's config apart from another's. */
export interface ConfigSchema {
  /** PEFT's name of the method: `DELORA`. */
  readonly peftType: string;
  /** PEFT's class, for errors: `DeloraConfig`. */
  readonly className: string;
  /** Names of all settings, in camelCase. */
  readonly options: readonly string[];
  /** Fields of the JSON file that must have this value, or set nothing. */
  readonly unsupported: Readonly<Record<string, JsonValue>>;
  /** Fields of the JSON file that Python writes as floats. */
  readonly floats: ReadonlySet<string>;
}

/**
 * The settings of an adapter, immutable. Its fields are PEFT's in camelCase; `toJson` writes PEFT's
 * `adapter_config.json`.
 */
export abstract class PeftConfig {
  /** What the method adds. */
  abstract readonly schema: ConfigSchema;
  readonly r: number;
  readonly targetModules: readonly string[] | null;
  readonly taskType: TaskType | null;
  readonly bias: "none";
  readonly inferenceMode: boolean;
  readonly baseModelNameOrPath: string | null;
  readonly revision: string | null;
  readonly autoMapping: Readonly<Record<string, string>> | null;

  /** @throws AdapterConfigError for an unknown option, or a value that is out of range or not supported */
  constructor(schema: ConfigSchema, options: PeftConfigOptions) {
    refuseUnknown(schema, options);
    const { r = 8, targetModules = null, taskType = null, bias = "none", inferenceMode = false } = options;
    this.r = positiveInteger(r);
    this.targetModules = moduleList(targetModules);
    this.taskType = knownTask(taskType);
    if (bias !== "none") refuseField("bias", bias, 'it takes "none" only, biases stay frozen');
    this.bias = bias;
    this.inferenceMode = boolean("inference_mode", inferenceMode);
    this.baseModelNameOrPath = text("base_model_name_or_path", options.baseModelNameOrPath ?? null);
    this.revision = text("revision", options.revision ?? null);
    this.autoMapping = options.autoMapping ?? null;
  }

  /** PEFT's name of the method. */
  get peftType(): string {
    return this.schema.peftType;
  }

  /** A new adapter of this config for a frozen weight [out, in], freshly initialised. */
  abstract createLayer(weight: Tensor): AdapterLayer;

  /** The same config with some settings changed. */
  abstract with(changes: PeftConfigOptions): PeftConfig;

  /**
   * The text of PEFT's `adapter_config.json`, byte for byte: keys sorted, two spaces of indent, ASCII only,
   * floats as `0.0`, no newline at the end.
   */
  toJson(): string {
    const { options, unsupported, floats, peftType } = this.schema;
    const fields: Record<string, JsonValue> = {
      ...unsupported,
      peft_type: peftType,
      peft_version: PEFT_VERSION,
    };
    const values = Object.fromEntries(Object.entries(this));
    for (const option of options) fields[snakeCase(option)] = values[option] as JsonValue;
    return toPythonJson(fields, floats);
  }

  /** The settings, to build a changed config from. */
  protected settings(): PeftConfigOptions {
    const own = Object.entries(this).filter(([name]) => this.schema.options.includes(name));
    return Object.fromEntries(own);
  }
}

/** PEFT's spelling of an option: `deloraLambda` → `delora_lambda`. */
export const snakeCase = (option: string): string => option.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

/** Stop: this value of PEFT's `field` asks for something that the library does not do. */
export function refuseField(field: string, value: unknown, why: string): never {
  throw new AdapterConfigError(
    field,
    value,
    `the adapter config sets ${field} to ${JSON.stringify(value)}: ${why}`,
  );
}

/** A rate of dropout, 0 to 1. */
export function dropoutRate(field: string, value: number): number {
  if (typeof value === "number" && value >= 0 && value <= 1) return value;
  const got = typeof value === "number" ? pythonFloat(value) : JSON.stringify(value);
  throw new AdapterConfigError(
    field,
    value,
    `${field}: dropout probability has to be between 0 and 1, but got ${got}`,
  );
}

/** A finite number. */
export function finite(field: string, value: number): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new AdapterConfigError(
    field,
    value,
    `\`${field}\` must be a finite number; got ${JSON.stringify(value) ?? value}.`,
  );
}

/** True or false. */
export function boolean(field: string, value: boolean): boolean {
  if (typeof value === "boolean") return value;
  throw new AdapterConfigError(
    field,
    value,
    `\`${field}\` must be true or false; got ${JSON.stringify(value)}.`,
  );
}

function refuseUnknown({ className, options }: ConfigSchema, given: object): void {
  const unknown = Object.keys(given).find((name) => !options.includes(name));
  if (unknown === undefined) return;
  const why = `${className} got an unexpected option "${unknown}"; its options are ${options.join(", ")}`;
  throw new AdapterConfigError(
    snakeCase(unknown),
    Object.entries(given).find(([name]) => name === unknown)?.[1],
    why,
  );
}

function positiveInteger(r: number): number {
  if (Number.isSafeInteger(r) && r > 0) return r;
  throw new AdapterConfigError("r", r, `\`r\` must be a positive integer; got ${JSON.stringify(r)}.`);
}

function knownTask(task: TaskType | null): TaskType | null {
  if (task === null || TASK_TYPES.includes(task)) return task;
  const list = TASK_TYPES.join(", ");
  const why = `Invalid task type: '${task}'. Must be one of the following task types: ${list}.`;
  throw new AdapterConfigError("task_type", task, why);
}

function moduleList(modules: readonly string[] | null): readonly string[] | null {
  if (modules === null) return null;
  if (Array.isArray(modules) && modules.every((name) => typeof name === "string"))
    return Object.freeze([...new Set(modules)]);
  return refuseField(
    "target_modules",
    modules,
    'it takes a list of module names, such as ["q_proj", "v_proj"]',
  );
}

function text(field: string, value: string | null): string | null {
  if (value === null || typeof value === "string") return value;
  throw new AdapterConfigError(
    field,
    value,
    `\`${field}\` must be text or null; got ${JSON.stringify(value)}.`,
  );
}
