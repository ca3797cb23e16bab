import { ArgumentError } from "../tensor/errors.ts";
import type { OpSpec } from "../tensor/op-spec.ts";

/** The attributes of a call with defaults filled in. @throws ArgumentError on an unknown name or a number that is none */
export function completeAttrs(spec: OpSpec, given: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const known = Object.keys(spec.attrs);
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new ArgumentError(spec.name, `attribute "${unknown}"`, known.length > 0 ? `one of ${known.join(", ")}` : "absent", "an unknown name");
  }
  const values: Record<string, unknown> = {};
  for (const name of known) {
    const declared = spec.attrs[name];
    const value = given[name] ?? ("default" in declared ? declared.default : declared[0]);
    if (!("default" in declared) && (typeof value !== "number" || Number.isNaN(value))) {
      throw new ArgumentError(spec.name, `attribute ${name}`, "a number", String(value));
    }
    values[name] = value;
  }
  return values;
}
