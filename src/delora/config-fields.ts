import { AdapterConfigError } from "./errors.ts";
import { type JsonValue, pythonFloat } from "./python-json.ts";

/** One setting of a config: what it is when nothing is said, and what it may be. */
export interface ConfigField<T = unknown> {
  readonly default: T;
  /**
   * The value as the config holds it.
   *
   * @param name PEFT's name of the field, for the error
   * @throws AdapterConfigError
   */
  readonly check: (name: string, value: unknown) => T;
  /** Python holds it as a float and writes `0.0` where JSON.stringify writes `0`. */
  readonly isFloat?: true;
  /** PEFT does not have it: it is never written to a file. */
  readonly isExtension?: true;
}

/** What sets one method's config apart from another's. */
export interface ConfigSchema {
  /** PEFT's name of the method: `DELORA`. */
  readonly peftType: string;
  /** PEFT's class, for texts: `DeloraConfig`. */
  readonly className: string;
  /** PEFT's class of a model with such adapters: `DeloraModel`. */
  readonly modelType: string;
  /** PEFT's class of a Linear with such adapters: `delora.DeloraLinear`. */
  readonly moduleType: string;
  /** What the names of the method's tensors begin with: `delora_`. */
  readonly prefix: string;
  /** All settings, by their names in camelCase. */
  readonly fields: Readonly<Record<string, ConfigField>>;
  /** Fields of the JSON file that are beyond this library, with the one value that asks for nothing. */
  readonly unsupported: Readonly<Record<string, JsonValue>>;
  /** Settings whose regular expressions PEFT warns about when they match nothing. */
  readonly warnedPatterns: readonly string[];
  /** PEFT refuses `layersPattern` beside a `targetModules` that is a regular expression. */
  readonly refusesPatternOfLayers?: true;
}

/** A name, a regular expression or a list of either. */
export type Names = string | readonly string[];

/** PEFT's spelling of an option: `deloraLambda` → `delora_lambda`. */
export const snakeCase = (option: string): string => option.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

/** Stop: this value of PEFT's `field` asks for something that the library does not do. */
export function refuseField(field: string, value: unknown, why: string): never {
  throw new AdapterConfigError(field, value, `the adapter config sets ${field} to ${shown(value)}: ${why}`);
}

/** An integer from 1 on. */
export const positiveInteger = (byDefault: number): ConfigField<number> => ({
  default: byDefault,
  check: (name, value) =>
    Number.isSafeInteger(value) && Number(value) > 0
      ? Number(value)
      : refuse(name, value, `\`${name}\` must be a positive integer; got ${shown(value)}.`),
});

/** A finite number. */
export const finite = (byDefault: number): ConfigField<number> => ({
  default: byDefault,
  check: (name, value) =>
    typeof value === "number" && Number.isFinite(value) ? value : expected(name, value, "a finite number"),
});

/** A rate of dropout, 0 to 1. */
export const dropoutRate: ConfigField<number> = {
  default: 0,
  isFloat: true,
  check(name, value) {
    if (typeof value === "number" && value >= 0 && value <= 1) return value;
    const got = typeof value === "number" ? pythonFloat(value) : shown(value);
    return refuse(name, value, `${name}: dropout probability has to be between 0 and 1, but got ${got}`);
  },
};

/** True or false. */
export const flag = (byDefault: boolean): ConfigField<boolean> => ({
  default: byDefault,
  check: (name, value) => (typeof value === "boolean" ? value : expected(name, value, "true or false")),
});

/** Text, or null for nothing said. */
export const text: ConfigField<string | null> = {
  default: null,
  check: (name, value) =>
    value === null || typeof value === "string" ? value : expected(name, value, "text or null"),
};

/** One of some words. */
export const oneOf = <T extends string>(byDefault: T, words: readonly T[]): ConfigField<T> => ({
  default: byDefault,
  check(name, value) {
    const found = words.find((word) => word === value);
    return found ?? expected(name, value, `one of ${words.map((word) => `"${word}"`).join(", ")}`);
  },
});

/** A regular expression for whole names, or a set of names or of their last parts; null for nothing said. */
export const moduleNames: ConfigField<Names | null> = {
  default: null,
  check(name, value) {
    if (value === null || typeof value === "string") return value;
    if (isTexts(value)) return Object.freeze([...new Set(value)]);
    return expected(name, value, 'a list of module names such as ["q_proj", "v_proj"], a pattern or null');
  },
};

/** A list of texts, one text, or null. */
export const texts: ConfigField<Names | null> = {
  default: null,
  check(name, value) {
    if (value === null || typeof value === "string") return value;
    return isTexts(value) ? Object.freeze([...value]) : expected(name, value, "text, a list of texts or null");
  },
};

/** A list of texts, or null. */
export const textList: ConfigField<readonly string[] | null> = {
  default: null,
  check(name, value) {
    if (value === null) return null;
    return isTexts(value) ? Object.freeze([...value]) : expected(name, value, "a list of names or null");
  },
};

/** Numbers of layers, one number, or null. */
export const layerNumbers: ConfigField<number | readonly number[] | null> = {
  default: null,
  check(name, value) {
    if (value === null) return null;
    if (typeof value === "number" && Number.isSafeInteger(value)) return value;
    if (Array.isArray(value) && value.every(Number.isSafeInteger)) return Object.freeze([...value]);
    return expected(name, value, "the number of a layer, a list of numbers or null");
  },
};

/** Numbers by regular expressions for the last parts of names. */
export const numberPatterns: ConfigField<Readonly<Record<string, number>>> = {
  default: Object.freeze({}),
  check(name, value) {
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    if (isObject && Object.values(value).every(Number.isFinite)) return Object.freeze({ ...value });
    return expected(name, value, 'an object of numbers such as { "q_proj": 4 }');
  },
};

/** An object of texts, or null. */
export const textRecord: ConfigField<Readonly<Record<string, string>> | null> = {
  default: null,
  check(name, value) {
    if (value === null) return null;
    if (typeof value === "object" && !Array.isArray(value) && isTexts(Object.values(value as object)))
      return Object.freeze({ ...(value as Record<string, string>) });
    return expected(name, value, "an object of texts or null");
  },
};

/** Which biases are trained; what the words mean is settled where the adapter is put on a model. */
export const biasMode: ConfigField<string> = {
  default: "none",
  check: (name, value) =>
    typeof value === "string" ? value : expected(name, value, '"none", "all" or "…_only"'),
};

/** JSON text of a value, for an error. */
const shown = (value: unknown): string => JSON.stringify(value as JsonValue) ?? String(value);

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === "string");

const expected = (name: string, value: unknown, what: string): never =>
  refuse(name, value, `\`${name}\` must be ${what}; got ${shown(value)}.`);

function refuse(name: string, value: unknown, why: string): never {
  throw new AdapterConfigError(name, value, why);
}

/** Fields for the config of a method of one's own. */
export const configFields = {
  positiveInteger,
  finite,
  dropoutRate,
  flag,
  text,
  oneOf,
  moduleNames,
  texts,
  textList,
  layerNumbers,
  numberPatterns,
  textRecord,
} as const;
