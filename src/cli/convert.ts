import { type ConvertedModule, loraAdapter, readAdapterFolder, sizeOf, writeLora } from "../delora/index.ts";
import { init } from "../ops/index.ts";
import { type Given, number, text, whole } from "./args.ts";
import { baseOf, mustBeModel } from "./base-model.ts";
import { UsageError } from "./errors.ts";
import { mustBeWritable, mustDiffer } from "./finetune-data.ts";
import { counted } from "./format.ts";
import { oneLine, type Terminal } from "./terminal.ts";
import { WeightReader } from "./weight-reader.ts";

/** The flags of `convert`. */
export const CONVERT_FLAGS = {
  output_dir: text("dir", "where the LoRA adapter is written"),
  rank: whole("k", "keep the k largest singular terms of each update (default: all, exactly)", 1),
  energy: number("x", "keep the fewest terms whose squared singular values are this share of all", {
    low: 0,
    high: 1,
    open: "low",
  }),
  base_model: text("dir", "the Llama that the adapter is for; only a DoRA needs it (default: the one it was trained on, if it is here)"),
};

/** Flags of `convert` as given, and the adapter's directory. */
export type ConvertFlags = Given<typeof CONVERT_FLAGS> & { readonly path: string };

/** Text below the list of flags. */
export const CONVERT_NOTES = `
A DeLoRA update is a product of two matrices, so the LoRA adapter with A·diag(w) and B·diag(s) is the same one: every program that
loads LoRA can run it. With --rank or --energy it becomes smaller, by a singular value decomposition, and loses what is left out.
`;

/** Write an adapter as a LoRA adapter. @throws UsageError, and what reading throws; then nothing was written */
export async function convert(given: ConvertFlags, terminal: Terminal): Promise<void> {
  const { path, output_dir } = given;
  if (output_dir === undefined) throw new UsageError("--output_dir is missing: say where the LoRA adapter is written");
  const size = sizeOf({
    ...(given.rank !== undefined && { rank: given.rank }),
    ...(given.energy !== undefined && { energy: given.energy }),
  });
  mustDiffer(output_dir, [path]);
  await mustBeWritable(output_dir);
  await init({ device: "cpu" });
  const folder = await readAdapterFolder(path, (message) => terminal.print(`note: ${oneLine(message, 400)}`));
  if (given.base_model !== undefined) await mustBeModel(given.base_model);
  const base = given.base_model ?? (await baseOf(path));
  const reader = base === null ? null : await WeightReader.open(base);
  const lora = await loraAdapter(folder.config, modulesOf(), size, folder.others);
  await writeLora(output_dir, lora);
  const ranks = [lora.config.r, ...Object.values(lora.config.rankPattern)];
  const span = [...new Set([Math.min(...ranks), Math.max(...ranks)])].join(" to ");
  terminal.print(`${counted(folder.paths.length, "module")} of ${oneLine(path)} as LoRA of rank ${span}`);
  terminal.print(`saved in ${oneLine(output_dir)}`);

  function* modulesOf(): Generator<ConvertedModule> {
    for (const name of folder.paths) {
      const weight = reader?.read(`${name}.weight`) ?? null;
      const layer = folder.layer(name, weight);
      yield { path: name, layer, weight };
      for (const tensor of layer.stateDict().values()) tensor.dispose();
      weight?.dispose();
    }
  }
}
