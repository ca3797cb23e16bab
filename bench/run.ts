// Prints measured figures as one table. usage: npm run bench -- [--list] [--only ROW[,ROW]] [--json FILE]
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { closeDevice } from "../src/index.ts";
import { matmulRows } from "./matmul.ts";
import type { Row, RowResult } from "./row.ts";

const rows: readonly Row[] = matmulRows;

const { values } = parseArgs({ options: { list: { type: "boolean" }, only: { type: "string" }, json: { type: "string" } } });
if (values.list) {
  for (const { name, about } of rows) console.log(`${name.padEnd(24)} ${about}`);
} else {
  await bench(values.only?.split(",") ?? rows.map(({ name }) => name));
}

async function bench(names: readonly string[]): Promise<void> {
  const unknown = names.find((name) => !rows.some((row) => row.name === name));
  if (unknown) throw new Error(`unknown row "${unknown}"; --list names them`);
  const results: RowResult[] = [];
  console.log("| row | figure | error | on |\n|---|---|---|---|");
  for (const row of rows.filter(({ name }) => names.includes(name))) {
    const result = { name: row.name, ...(await row.run()) };
    results.push(result);
    const figure = result.skipped ? `not run: ${result.skipped}` : `${result.figure.toFixed(1)} ${result.unit}`;
    console.log(`| ${result.name} | ${figure} | ${result.skipped ? "" : result.error.toExponential(1)} | ${result.on} |`);
  }
  await closeDevice();
  if (values.json) {
    mkdirSync(dirname(values.json), { recursive: true });
    writeFileSync(values.json, `${JSON.stringify(results, null, 2)}\n`);
  }
}
