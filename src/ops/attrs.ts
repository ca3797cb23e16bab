import { ArgumentError } from "../tensor/errors.ts";
import type { OpSpec } from "../tensor/op-spec.ts";
import { describe } from "./describe.ts";

/** The attributes of a call with defaults filled in. @throws ArgumentError on an unknown name or a value of another kind than the default */
export function completeAttrs(spec: OpSpec, given: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const known = Object.keys(spec.attrs);
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new ArgumentError(spec.name, `attribute "${unknown}"`, known.length > 0 ? `one of ${known.join(", ")}` : "absent", "an unknown name");
  }
  const values: Record<string, unknown> = {};
  for (const name of known) {
    const declared = spec.attrs[name];
    const byDefault = "default" in declared ? declared.default : declared[0];
    const value = given[name] ?? byDefault;
    const expected = kindOf(byDefault);
    if (expected && kindOf(value) !== expected) throw new ArgumentError(spec.name, `attribute ${name}`, expected, describe(value));
    values[name] = value;
  }
  return values;
}

/** What an attribute of this default has to be, in words; null where the op itself decides. */
function kindOf(value: unknown): string | null {
  if (Array.isArray(value)) return value.every(Number.isInteger) ? "a list of integers" : null;
  if (typeof value === "number") return Number.isNaN(value) ? null : "a number";
  return typeof value === "string" || typeof value === "boolean" ? `a ${typeof value}` : null;
}
