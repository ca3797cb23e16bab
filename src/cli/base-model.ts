import { fileURLToPath } from "node:url";
import { exists, joinPath } from "../io/index.ts";
import { UsageError } from "./errors.ts";

/** Directory of the small Llama that comes with the package. */
export const embeddedModel = (): string => fileURLToPath(new URL("../../models/sotu-1m", import.meta.url));

/** Stop early, and say what is needed, when `dir` is no model directory at all. @throws UsageError */
export async function mustBeModel(dir: string): Promise<void> {
  if (await exists(joinPath(dir, "config.json"))) return;
  const found = (await exists(dir)) ? `${dir} has no config.json` : `there is no directory ${dir}`;
  throw new UsageError(
    `--base_model: ${found}; expected the directory of a Llama with config.json, model.safetensors and tokenizer.json`,
  );
}
