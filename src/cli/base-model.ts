import { fileURLToPath } from "node:url";
import { readPeftConfig } from "../delora/index.ts";
import { exists, joinPath } from "../io/index.ts";
import { QUANTIZE } from "../nn/llama-weights.ts";
import { choice } from "./args.ts";
import { UsageError } from "./errors.ts";

/** The flag of the commands that run a model, for the format of its matrices. */
export const quantizeFlag = choice(
  QUANTIZE,
  "hold the model's matrices as integers in blocks of 32: a quarter of f32's memory (q8_0) or a seventh (default: as they are stored)",
);

/** Directory of the small Llama that comes with the package. */
export const embeddedModel = (): string => fileURLToPath(new URL("../../models/sotu-1m", import.meta.url));

/** The model that an adapter was trained on, if its config names a directory that is here. */
export async function baseOf(adapter: string): Promise<string | null> {
  const { baseModelNameOrPath } = await readPeftConfig(adapter, () => {});
  const isHere = baseModelNameOrPath && (await exists(joinPath(baseModelNameOrPath, "config.json")));
  return isHere ? baseModelNameOrPath : null;
}

/** The model to put an adapter on: the one asked for, else the one that it was trained on. @throws UsageError */
export async function mustHaveBase(asked: string | undefined, adapter: string): Promise<string> {
  const base = asked ?? (await baseOf(adapter));
  if (base === null) {
    throw new UsageError(
      `--base_model is missing: the config in ${adapter} names no model that is here; give the directory of the Llama that the adapter was trained on`,
    );
  }
  await mustBeModel(base);
  return base;
}

/** Stop early, and say what is needed, when `dir` is no model directory at all. @throws UsageError */
export async function mustBeModel(dir: string): Promise<void> {
  if (await exists(joinPath(dir, "config.json"))) return;
  const found = (await exists(dir)) ? `${dir} has no config.json` : `there is no directory ${dir}`;
  throw new UsageError(
    `--base_model: ${found}; expected the directory of a Llama with config.json, model.safetensors and tokenizer.json`,
  );
}
