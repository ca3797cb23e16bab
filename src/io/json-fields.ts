import { PolargradError } from "../tensor/errors.ts";
import { quoteValue } from "./quote.ts";

/**
 * A configuration with a field that is missing, of the wrong type, or not supported. `value` is what was
 * found.
 */
export class ConfigError extends PolargradError {
  override readonly name = "ConfigError";
  readonly field: string;
  readonly value: unknown;

  constructor(field: string, value: unknown, why: string) {
    super(`config.json: ${why}`);
    this.field = field;
    this.value = value;
  }
}

/**
 * Typed access to the own fields of a JSON object. A field that is null counts as absent, as in transformers'
 * files; an absent field takes `fallback`, and is an error without one.
 */
export class JsonFields {
  readonly #object: object;
  readonly #prefix: string;

  constructor(value: unknown, what: string, prefix = "") {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new ConfigError(what, value, `${what} must be an object, got ${quoteValue(value)}`);
    }
    this.#object = value;
    this.#prefix = prefix;
  }

  /** True if the field is there, be it null. */
  has(field: string): boolean {
    return Object.hasOwn(this.#object, field);
  }

  /** The raw value; undefined if absent or null. */
  get(field: string): unknown {
    if (!this.has(field)) return undefined;
    return (this.#object as Record<string, unknown>)[field] ?? undefined;
  }

  /** A whole number, `least` or more. */
  integer<T = never>(field: string, least: number, ...fallback: [T?]): number | T {
    const accept = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= least;
    return this.#read(field, accept, `a whole number, ${least} or more`, fallback);
  }

  /** A finite number above zero. */
  positive<T = never>(field: string, ...fallback: [T?]): number | T {
    const accept = (value: unknown): value is number => Number.isFinite(value) && Number(value) > 0;
    return this.#read(field, accept, "a number above 0", fallback);
  }

  /** True or false. */
  boolean<T = never>(field: string, ...fallback: [T?]): boolean | T {
    return this.#read(field, (value) => typeof value === "boolean", "true or false", fallback);
  }

  /** A string. */
  string<T = never>(field: string, ...fallback: [T?]): string | T {
    return this.#read(field, (value) => typeof value === "string", "a string", fallback);
  }

  /** Stop: `why` follows the field's name and the value found. */
  refuse(field: string, why: string): never {
    const value = this.get(field);
    throw new ConfigError(
      this.#prefix + field,
      value,
      `${this.#prefix}${field} is ${quoteValue(value)}, ${why}`,
    );
  }

  #read<V, T>(
    field: string,
    accept: (value: unknown) => value is V,
    expected: string,
    fallback: [T?],
  ): V | T {
    const value = this.get(field);
    if (accept(value)) return value;
    if (value === undefined && fallback.length > 0) return fallback[0] as T;
    if (value === undefined) {
      const name = this.#prefix + field;
      throw new ConfigError(name, value, `${name} is missing, expected ${expected}`);
    }
    return this.refuse(field, `expected ${expected}`);
  }
}
