import type { Row } from "../harness/row.ts";
import { costRows } from "./cost.ts";
import { cpuGemm, cpuGemmSkinny, cpuGemmSquare } from "./cpu-gemm.ts";
import { deloraRows } from "./delora.ts";
import { generationRows } from "./generation.ts";
import { gpuMatmulRows, gpuStored } from "./gpu-matmul.ts";
import { gpuColdStart, gpuOverhead } from "./gpu-start.ts";
import { peerRows } from "./peers.ts";
import { trainingRows } from "./training.ts";

const all: readonly Row[] = [
  cpuGemm,
  cpuGemmSquare,
  cpuGemmSkinny,
  ...trainingRows,
  ...deloraRows,
  ...generationRows,
  ...gpuMatmulRows,
  gpuStored,
  gpuColdStart,
  gpuOverhead,
  ...costRows,
];

const isOnGpu = ({ name }: Row): boolean => name.startsWith("gpu-");

/** All rows: those of the CPU, those of WebGPU, those beside other libraries. */
export const ROWS: readonly Row[] = [...all.filter((row) => !isOnGpu(row)), ...all.filter(isOnGpu), ...peerRows];

/**
 * The rows that a list of names asks for, in the table's order. Without a list: all but those that run on request only, of which
 * `peers` asks for those beside other libraries.
 *
 * @throws RangeError naming the rows there are
 */
export function selectRows(names: string | undefined, peers = false): readonly Row[] {
  if (names === undefined) return ROWS.filter((row) => !row.onRequest || (peers && peerRows.includes(row)));
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
