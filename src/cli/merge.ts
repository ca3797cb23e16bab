import { PeftModel } from "../delora/index.ts";
import { writeDirectoryFiles } from "../io/index.ts";
import { AutoTokenizer, LlamaForCausalLM } from "../nn/index.ts";
import { closeDevice, init } from "../ops/index.ts";
import { choice, type Given, text } from "./args.ts";
import { mustHaveBase } from "./base-model.ts";
import { UsageError } from "./errors.ts";
import { mustBeWritable, mustDiffer } from "./finetune-data.ts";
import { count } from "./format.ts";
import { oneLine, type Terminal } from "./terminal.ts";

/** The flags of `merge`. */
export const MERGE_FLAGS = {
  base_model: text("dir", "directory of the Llama (default: the one that the adapter was trained on, if it is here)"),
  output_dir: text("dir", "where the merged Llama is written: config.json, model.safetensors and the tokenizer"),
  device: choice(["auto", "cpu", "webgpu"], "where the sums are computed (default: cpu)"),
};

/** Flags of `merge` as given, and the adapter's directory. */
export type MergeFlags = Given<typeof MERGE_FLAGS> & { readonly path: string };

/**
 * Write a plain Llama that computes what the base with the adapter does. An adapter that would make weights that are not
 * finite is refused.
 *
 * @throws UsageError, and what loading throws; then nothing was written
 */
export async function merge(given: MergeFlags, terminal: Terminal): Promise<void> {
  const { path, output_dir, device = "cpu" } = given;
  if (output_dir === undefined) throw new UsageError("--output_dir is missing: say where the merged Llama is written");
  const base = await mustHaveBase(given.base_model, path);
  mustDiffer(output_dir, [base, path]);
  await mustBeWritable(output_dir);
  const tokenizer = await AutoTokenizer.fromPretrained(base);
  try {
    const info = await init({ device });
    const model = await LlamaForCausalLM.fromPretrained(base, { device: info.device });
    const peft = await PeftModel.fromPretrained(model, path, { warn: (message) => terminal.print(`note: ${oneLine(message, 400)}`) });
    const modules = peft.getLayerStatus().length;
    await (await peft.mergeAndUnload({ safeMerge: true })).savePretrained(output_dir);
    await writeDirectoryFiles(output_dir, tokenizer.files);
    terminal.print(`merged ${count(modules)} modules of ${oneLine(path)} into ${oneLine(base)}`);
    terminal.print(`saved the Llama and its tokenizer in ${oneLine(output_dir)}`);
  } finally {
    await closeDevice();
  }
}
