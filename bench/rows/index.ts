import type { Row } from "../harness/row.ts";
import { costRows } from "./cost.ts";
import { cpuGemm, cpuGemmSkinny, cpuGemmSquare } from "./cpu-gemm.ts";
import { deloraRows } from "./delora.ts";
import { generationRows } from "./generation.ts";
import { gpuMatmulRows } from "./gpu-matmul.ts";
import { gpuColdStart, gpuOverhead } from "./gpu-start.ts";
import { trainingRows } from "./training.ts";

const all: readonly Row[] = [
  cpuGemm,
  cpuGemmSquare,
  cpuGemmSkinny,
  ...trainingRows,
  ...deloraRows,
  ...generationRows,
  ...gpuMatmulRows,
  gpuColdStart,
  gpuOverhead,
  ...costRows,
];

/** All rows: those of the CPU first. */
export const ROWS: readonly Row[] = [...all.filter(({ name }) => !name.startsWith("gpu-")), ...all.filter(({ name }) => name.startsWith("gpu-"))];

/** The rows that a list of names asks for, in the table's order; without a list all but those that run on request only. */
export function selectRows(names: string | undefined): readonly Row[] {
  if (names === undefined) return ROWS.filter(({ onRequest }) => !onRequest);
  const wanted = names.split(",").map((name) => name.trim());
  const unknown = wanted.filter((name) => !ROWS.some((row) => row.name === name));
  if (unknown.length > 0) {
    const known = ROWS.map(({ name }) => name).join(", ");
    throw new RangeError(`there is no row "${unknown.join('", "')}"; the rows are ${known}`);
  }
  return ROWS.filter(({ name }) => wanted.includes(name));
}

/** One line a row: its name and what it measures. */
export function listRows(): string {
  const width = Math.max(...ROWS.map(({ name }) => name.length));
  return ROWS.map(({ name, about, onRequest }) => `${name.padEnd(width)}  ${about}${onRequest ? " (only when named)" : ""}`).join("\n");
}
