import { ArgumentError } from "../tensor/errors.ts";
import type { OpSpec } from "../tensor/op-spec.ts";
import { describe } from "./describe.ts";

type Attrs = Readonly<Record<string, unknown>>;

/**
 * What completes the attributes of a call of the op with its defaults.
 *
 * @returns a function that throws ArgumentError on an unknown name or a value of another kind than the default
 */
export function attrsOf(spec: OpSpec): (given: Attrs | undefined) => Attrs {
  const defaults = Object.freeze(
    Object.fromEntries(Object.entries(spec.attrs).map(([name, declared]) => [name, "default" in declared ? declared.default : declared[0]])),
  );
  const known = Object.keys(defaults);
  const kinds = known.map((name) => kindOf(defaults[name]));
  return (given) => {
    if (!given) return defaults;
    for (const name of Object.keys(given)) {
      if (Object.hasOwn(defaults, name)) continue;
      throw new ArgumentError(spec.name, `attribute "${name}"`, known.length > 0 ? `one of ${known.join(", ")}` : "absent", "an unknown name");
    }
    const values: Record<string, unknown> = {};
    known.forEach((name, i) => {
      const value = given[name] ?? defaults[name];
      const expected = kinds[i];
      if (expected && kindOf(value) !== expected) throw new ArgumentError(spec.name, `attribute ${name}`, expected, describe(value));
      values[name] = value;
    });
    return values;
  };
}

/** What an attribute of this default has to be, in words; null where the op itself decides. */
function kindOf(value: unknown): string | null {
  if (Array.isArray(value)) return value.every(Number.isInteger) ? "a list of integers" : null;
  if (typeof value === "number") return Number.isNaN(value) ? null : "a number";
  return typeof value === "string" || typeof value === "boolean" ? `a ${typeof value}` : null;
}
