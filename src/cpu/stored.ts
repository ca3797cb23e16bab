import { planesOf } from "../tensor/blocks.ts";
import { isBlock, type PackedArray, type StoredFormat } from "../tensor/dtype.ts";
import { decodeInto } from "../tensor/stored-format.ts";
import { launch } from "./launch.ts";
import { DECODE_SCRATCH, decodeRuns, linearRows } from "./wasm/stored-kernels.ts";

/** Elements in a stored format, packed. */
export interface Packed {
  readonly format: StoredFormat;
  readonly data: PackedArray;
}

/** A matrix in a stored format or in f32. */
export type Weight = Packed | { readonly format: "f32"; readonly data: Float32Array };

/** Elements of a run where they all follow each other: whole blocks. */
const RUN = 8192;
/** ns for an element that is decoded, and for one that is multiplied too. */
const DECODE_COST = 0.4;
const LINEAR_COST = 0.15;
/** Below that many elements a kernel costs more than it saves. */
const FEW = 256;
/** Elements of the weight that a unit multiplies. */
const UNIT_ELEMENTS = 16_384;
/** Most rows of x for which reading the weight decides the time, not the arithmetic. */
const FEW_ROWS = 8;
/** Whole steps of every format without blocks. */
const STEP = 8;

/** Where a kernel finds the integers and the scales: halves have none. */
const arraysOf = ({ format, data }: Weight) => (isBlock(format) ? planesOf(format, data as Uint8Array) : { integers: data, scales: data });

/** As `decodeInto`, on all threads. */
export function decodeStored(packed: Packed, out: Float32Array, first = 0): void {
  const { format, data } = packed;
  const isDone = out.length >= FEW && decodeRunsOf(packed, out, { first, length: RUN, stride: RUN });
  if (!isDone) decodeInto(format, data, out, first);
}

/** Which elements: runs of `length` that begin `stride` apart, the first at `first`. Of blocks, whole ones. */
export interface Runs {
  readonly first: number;
  readonly length: number;
  readonly stride: number;
}

/** Decode as many runs as `out` holds. False: there are no kernels or no memory, nothing was decoded. */
export function decodeRunsOf(packed: Packed, out: Float32Array, { first, length, stride }: Runs): boolean {
  return launch(
    decodeRuns[packed.format],
    { ...arraysOf(packed), out, first, length, stride, total: out.length },
    { units: Math.ceil(out.length / length), cost: out.length * DECODE_COST, scratch: DECODE_SCRATCH },
  );
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
    { units: Math.ceil(m / columnsAUnit), cost: rows * m * k * LINEAR_COST },
  );
}
