import {
  type AdapterFolder,
  type AdapterReportRow,
  DeloraConfig,
  LoraConfig,
  type PeftConfig,
  readAdapterFolder,
  reportLayer,
} from "../delora/index.ts";
import { exists, joinPath } from "../io/index.ts";
import { init } from "../ops/index.ts";
import { type Given, text, toggle, whole } from "./args.ts";
import { baseOf, mustBeModel } from "./base-model.ts";
import { UsageError } from "./errors.ts";
import { counted, decimal, percent } from "./format.ts";
import { inspectModel } from "./inspect-model.ts";
import { facts, table } from "./table.ts";
import { oneLine, type Terminal } from "./terminal.ts";
import { WeightReader } from "./weight-reader.ts";

/** The flags of `inspect`. */
export const INSPECT_FLAGS = {
  base_model: text(
    "dir",
    "of an adapter: the Llama it is for, to measure against its weights (default: the one that it was trained on, if it is here)",
  ),
  singular_values: whole("n", "how many of the largest singular values are shown (default: 3)", 0),
  json: toggle("print all numbers as JSON"),
};

/** Flags of `inspect` as given, and the directory. */
export type InspectFlags = Given<typeof INSPECT_FLAGS> & { readonly path: string };

/** Text below the list of flags. */
export const INSPECT_NOTES = `
Of an adapter: its config, and of each module λ, the lengths of the directions a_i and b_i, ‖ΔW‖_F against its bound, the largest
singular values of ΔW and, where the base is here, the angle between ΔW and W (90°: at right angles; below, it grows W).
Of a Llama: its config, and of each matrix ‖W‖_F, the lengths of its columns (DeLoRA's w) and its largest singular values.
`;

/**
 * Tell what is in an adapter's directory, or a model's.
 *
 * @throws UsageError for a directory that is neither, and what reading throws
 */
export async function inspect(given: InspectFlags, terminal: Terminal): Promise<void> {
  const { path, singular_values = 3, json = false } = given;
  await init({ device: "cpu" });
  const isAdapter = await exists(joinPath(path, "adapter_config.json"));
  if (!isAdapter && !(await exists(joinPath(path, "config.json")))) {
    const found = (await exists(path)) ? "holds neither" : "is not there";
    throw new UsageError(`${path} ${found}; expected an adapter (adapter_config.json) or a Llama (config.json)`);
  }
  if (!isAdapter) {
    await inspectModel(path, { count: singular_values, json }, terminal);
    return;
  }
  const notes: string[] = [];
  const folder = await readAdapterFolder(path, (message) => notes.push(message));
  const base = given.base_model ?? (await baseOf(path));
  if (given.base_model !== undefined) await mustBeModel(given.base_model);
  const modules = await reports(folder, base, singular_values);
  if (json) {
    terminal.print(JSON.stringify({ config: JSON.parse(folder.config.toJson()), base, modules, others: [...folder.others.keys()] }, null, 2));
    return;
  }
  for (const line of lines(path, folder, base, modules, notes)) terminal.print(line);
}

async function reports(folder: AdapterFolder, base: string | null, count: number): Promise<AdapterReportRow[]> {
  const reader = base === null ? null : await WeightReader.open(base);
  const rows: AdapterReportRow[] = [];
  for (const path of folder.paths) {
    const weight = reader?.read(`${path}.weight`) ?? null;
    const layer = folder.layer(path, weight);
    rows.push({ name: path, ...(await reportLayer(layer, weight, count)) });
    for (const tensor of layer.stateDict().values()) tensor.dispose();
    weight?.dispose();
  }
  return rows;
}

function lines(
  path: string,
  { config, others }: AdapterFolder,
  base: string | null,
  modules: readonly AdapterReportRow[],
  notes: readonly string[],
): string[] {
  const { targetModules } = config;
  const targets = typeof targetModules === "string" ? targetModules : (targetModules ?? []).join(", ");
  const named = config.baseModelNameOrPath ?? "not named";
  const parameters = modules.reduce((sum, { r }) => sum + r, 0);
  const known: [string, string][] = [
    ["method", `${methodName(config)}, rank ${config.r}`],
    ["base", oneLine(base === null ? `${named} (not here: no angles to its weights)` : base)],
    ["targets", oneLine(targets)],
    ["modules", `${counted(modules.length, "module")}, ${counted(parameters, "direction")}`],
  ];
  const extra: [string, string][] = others.size > 0 ? [["besides", `${counted(others.size, "tensor")}: ${oneLine([...others.keys()].slice(0, 4).join(", "))}`]] : [];
  const head = ["module", "r", "λ", "‖a‖ mean", "‖b‖ mean", "‖ΔW‖_F", "bound", "share", "singular values", "of ‖W‖", "angle to W"];
  const rows = modules.map((row) => [
    oneLine(row.name.replace(/^model\./, "")),
    String(row.r),
    shown(row.lambda),
    shown(row.aNorms?.mean ?? null),
    shown(row.bNorms?.mean ?? null),
    shown(row.deltaNorm),
    shown(row.bound),
    row.share === null ? "–" : percent(row.share),
    row.singularValues?.map((value) => decimal(value, 3)).join(" ") || "–",
    row.deltaNorm === null || !row.weightNorm ? "–" : percent(row.deltaNorm / row.weightNorm),
    row.angle === null ? "–" : `${row.angle.toFixed(1)}°`,
  ]);
  const used = head.map((_, column) => column === 0 || rows.some((row) => row[column] !== "–"));
  const kept = (row: readonly string[]): string[] => row.filter((_, column) => used[column]);
  return [
    `polargrad inspect ${oneLine(path)}`,
    ...facts([...known, ...extra]),
    ...notes.map((note) => `  note: ${oneLine(note, 400)}`),
    "",
    ...table(kept(head), rows.map(kept)),
  ];
}

const methodName = (config: PeftConfig): string => {
  if (config instanceof LoraConfig) return config.useDora ? "DoRA" : config.useRslora ? "rsLoRA" : "LoRA";
  return config instanceof DeloraConfig ? "DeLoRA" : config.peftType;
};

const shown = (value: number | null): string => (value === null ? "–" : decimal(value));
