import { machine } from "./machine.ts";
import { coresOfOthers, countAnew } from "./others.ts";
import { say, startRow } from "./progress.ts";
import type { Row, RowResult } from "./row.ts";

/** Measures rows one after the other; `keep` is called after each. A row that throws is a failed figure. */
export async function measureRows(rows: readonly Row[], keep: (result: RowResult) => void = () => {}): Promise<RowResult[]> {
  const results: RowResult[] = [];
  for (const row of rows) {
    results.push(await measureRow(row));
    keep(results[results.length - 1]);
  }
  return results;
}

/** Whether no figure failed. */
export const allRight = (results: readonly RowResult[]): boolean => results.every(({ figures }) => figures.every(({ status }) => status !== "failed"));

async function measureRow({ name, about, run }: Row): Promise<RowResult> {
  startRow(name);
  countAnew();
  const figures = await run().catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    return [{ name: "row", status: "failed" as const, reason }];
  });
  for (const figure of figures) if (figure.status !== "measured") say(`${figure.name}: ${figure.status}: ${figure.reason}`);
  return { row: name, about, machine: machine(), othersCores: coresOfOthers(), figures };
}
