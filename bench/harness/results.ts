import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { RowResult } from "./row.ts";
import { tableOf } from "./table.ts";

/** Writes results into one JSON file. */
export function writeJson(file: string, results: readonly RowResult[]): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(results, null, 2)}\n`);
}

/** Keeps results as `ROW.json` in a folder, and renews `table.md` there: all that is kept, in the order of `names`. */
export function keepResults(folder: string, results: readonly RowResult[], names: readonly string[]): void {
  for (const result of results) writeJson(join(folder, `${result.row}.json`), [result]);
  const files = existsSync(folder) ? readdirSync(folder) : [];
  const kept = names.filter((name) => files.includes(`${name}.json`));
  const all = kept.flatMap((name) => JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as RowResult[]);
  const machines = [...new Set(all.map(({ machine: { cores, cpu, platform, node } }) => `${cores} cores of ${cpu}, ${platform}, Node ${node}`))];
  writeFileSync(join(folder, "table.md"), `${tableOf(all)}\n\nMeasured on ${machines.join("; ")}.\n`);
}
