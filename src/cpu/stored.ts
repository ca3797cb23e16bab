import { decodeInto } from "../tensor/stored-format.ts";
import { arraysOf, decodeRunsOn, type Packed, type Weight } from "./decode-runs.ts";
import { MIN_PACKED_WORK } from "./gemm.ts";
import type { GemmMode } from "./gemm-types.ts";
import { currentKernels, launch } from "./launch.ts";
import { multiplyParts } from "./packed-gemm.ts";
import { LINEAR_SCRATCH, linearRows } from "./wasm/stored-kernels.ts";

export type { Packed, Weight } from "./decode-runs.ts";

/** Elements of a run where they all follow each other: whole blocks. */
const RUN = 8192;
/** Below that many elements a kernel costs more than it saves. */
const FEW = 256;
/** ns for an element of the weight, times a row of x. */
const LINEAR_COST = 0.15;
/** Elements of the weight that a unit multiplies. */
const UNIT_ELEMENTS = 16_384;
/** Most rows of x for which packing the weight costs more than it saves. */
const FEW_ROWS = 8;
/** Whole steps of every format without blocks. */
const STEP = 8;

/** As `decodeInto`, on all threads. */
export function decodeStored(packed: Packed, out: Float32Array, first = 0): void {
  const { engine } = currentKernels();
  const isDone = out.length >= FEW && engine && decodeRunsOn(engine, packed, out, { first, length: RUN, stride: RUN });
  if (!isDone) decodeInto(packed.format, packed.data, out, first);
}

/** `y[rows, m] = x[rows, k] · weightᵀ` for few rows, reading the weight as it lies. False: not computed. */
export function linearFewRows(
  x: Float32Array, weight: Weight, y: Float32Array, { rows, m, k }: Readonly<Record<"rows" | "m" | "k", number>>,
): boolean {
  if (rows > FEW_ROWS || k === 0 || k % STEP !== 0) return false;
  const columnsAUnit = 2 * Math.ceil(UNIT_ELEMENTS / k / 2);
  return launch(
    linearRows[weight.format],
    { ...arraysOf(weight), x, y, rows, m, k, columnsAUnit },
    { units: Math.ceil(m / columnsAUnit), cost: rows * m * k * LINEAR_COST, scratch: LINEAR_SCRATCH },
  );
}

/**
 * As `gemm`, to the bit, with B in a stored format: decoded part by part. False: not computed (no kernels, no memory, or a product
 * so small that `gemm` of the decoded matrix shall compute it).
 */
export function gemmStored(
  mode: Exclude<GemmMode, "TN">, m: number, n: number, k: number, a: Float32Array, b: Packed, out: Float32Array,
): boolean {
  const { engine } = currentKernels();
  if (!engine || m * n * k < MIN_PACKED_WORK) return false;
  return multiplyParts(engine, { mode, m, n, k, batch: 1 }, { a, b, out, accumulate: false });
}
