import { exists, joinPath, readText } from "../io/index.ts";
import { type ConfigSchema, refuseField, snakeCase } from "./config-fields.ts";
import { AdapterConfigError, AdapterFileError } from "./errors.ts";
import { pythonList } from "./python-json.ts";

/** Where warnings go; `console.warn` where nothing else is said. */
export type WarningHandler = (message: string) => void;

/** PEFT's name of the file with an adapter's settings. */
export const CONFIG_FILE = "adapter_config.json";

const RUNTIME_CONFIG =
  "The configuration file contains a `runtime_config` key. This is ignored. Runtime configurations are only valid at runtime.";
const NEWER_PEFT =
  "This probably means that the file was saved by a newer PEFT, whose additional settings are not known here.";

/** The text of a directory's `adapter_config.json`. @throws AdapterFileError when there is none */
export async function readConfigText(dir: string): Promise<string> {
  const path = joinPath(dir, CONFIG_FILE);
  if (await exists(path)) return readText(path, "an adapter's settings (adapter_config.json)");
  const found = (await exists(dir)) ? "the directory holds no adapter" : "there is no such directory";
  throw new AdapterFileError("missing-config", dir, `Can't find '${CONFIG_FILE}' at '${dir}': ${found}`);
}

/**
 * The fields in the text of an `adapter_config.json`.
 *
 * @throws AdapterConfigError when it is not a JSON object with a `peft_type`
 */
export function parseConfig(text: string): ReadonlyMap<string, unknown> {
  const json = parseJson(text);
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new AdapterConfigError(
      "",
      json,
      `${CONFIG_FILE}: expected a JSON object, got ${text.trim().slice(0, 40)}`,
    );
  }
  const fields = new Map<string, unknown>(Object.entries(json));
  if (typeof fields.get("peft_type") === "string") return fields;
  const why = `${CONFIG_FILE}: peft_type is missing, expected the adapter's method: "DELORA" or "LORA"`;
  throw new AdapterConfigError("peft_type", fields.get("peft_type"), why);
}

/**
 * The options of a config class in the fields of an `adapter_config.json`. Fields that PEFT does not know
 * are left out with PEFT's warning.
 *
 * @throws AdapterConfigError when the file is another method's, or a field asks for what the library does
 * not do
 */
export function configOptions(
  schema: ConfigSchema,
  fields: ReadonlyMap<string, unknown>,
  warn: WarningHandler = console.warn,
): Record<string, unknown> {
  const { peftType, className, fields: known, unsupported } = schema;
  const found = fields.get("peft_type");
  if (found !== peftType) {
    const why = `${CONFIG_FILE}: peft_type is ${JSON.stringify(found)}, but ${className} reads "${peftType}"`;
    throw new AdapterConfigError("peft_type", found, why);
  }
  const stored = Object.entries(known).filter(([, { isExtension }]) => !isExtension);
  const names = new Map(stored.map(([option]) => [snakeCase(option), option]));
  const result: Record<string, unknown> = {};
  const unknown: string[] = [];
  for (const [field, value] of fields) {
    const option = names.get(field);
    if (option !== undefined) result[option] = value;
    else if (Object.hasOwn(unsupported, field)) refuseUnlessUnset(field, value, unsupported[field]);
    else if (field === "runtime_config") warn(RUNTIME_CONFIG);
    else if (field !== "peft_type" && field !== "peft_version") unknown.push(field);
  }
  if (unknown.length > 0) {
    const list = pythonList(unknown.sort());
    warn(`Unexpected keyword arguments ${list} for class ${className}, these are ignored. ${NEWER_PEFT}`);
  }
  return result;
}

function refuseUnlessUnset(field: string, value: unknown, only: unknown): void {
  const isEmpty = typeof value === "object" && value !== null && Object.keys(value).length === 0;
  if (value === null || value === false || isEmpty || value === only) return;
  refuseField(
    field,
    value,
    "polargrad does not support this field, and the adapter would compute something else without it",
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new AdapterConfigError("", text, `${CONFIG_FILE}: not valid JSON: ${why}`);
  }
}
