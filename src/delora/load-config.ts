import { parseConfig, readConfigText, type WarningHandler } from "./config-json.ts";
import { DeloraConfig } from "./delora-config.ts";
import { AdapterConfigError } from "./errors.ts";
import { LoraConfig } from "./lora-config.ts";
import type { PeftConfig } from "./peft-config.ts";

/** The methods that can be read, by PEFT's name. */
const METHODS: Readonly<Record<string, { fromJson(text: string, warn?: WarningHandler): PeftConfig }>> = {
  DELORA: DeloraConfig,
  LORA: LoraConfig,
};

/**
 * The config in a directory's `adapter_config.json`, of whichever method it is.
 *
 * @throws AdapterFileError when there is none, AdapterConfigError when it asks for what the library does
 * not do
 */
export async function readPeftConfig(dir: string, warn?: WarningHandler): Promise<PeftConfig> {
  const text = await readConfigText(dir);
  const peftType = String(parseConfig(text).get("peft_type"));
  if (Object.hasOwn(METHODS, peftType)) return METHODS[peftType].fromJson(text, warn);
  const known = Object.keys(METHODS).join(", ");
  throw new AdapterConfigError(
    "peft_type",
    peftType,
    `the adapter in ${dir} has peft_type "${peftType}"; the supported ones are ${known}`,
  );
}
