import { parseConfig, readConfigText, type WarningHandler } from "./config-json.ts";
import "./delora.ts";
import { AdapterConfigError } from "./errors.ts";
import "./lora.ts";
import { methodNames, methodOf } from "./methods.ts";
import { PeftConfig } from "./peft-config.ts";

/**
 * The config in a directory's `adapter_config.json`, of whichever method it is.
 *
 * @throws AdapterFileError when there is none, AdapterConfigError when it asks for what the library does
 * not do
 */
export async function readPeftConfig(dir: string, warn?: WarningHandler): Promise<PeftConfig> {
  const text = await readConfigText(dir);
  const peftType = String(parseConfig(text).get("peft_type"));
  const method = methodOf(peftType);
  if (method) return PeftConfig.fromJson.call(method, text, warn);
  const known = methodNames().join(", ");
  throw new AdapterConfigError(
    "peft_type",
    peftType,
    `the adapter in ${dir} has peft_type "${peftType}"; the supported ones are ${known}`,
  );
}
