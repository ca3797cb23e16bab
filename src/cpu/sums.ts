import { giveArray, takeTemporary } from "../tensor/array-pool.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { launch } from "./launch.ts";
import { COLUMN_GROUP, columnSums, runSums, type SumTerm } from "./wasm/sum-kernels.ts";

/** Floats of a run, and of a unit of short runs or columns. */
const RUN = 8192;
/** ns for a float. */
const COST = 0.3;

/** An array as [outer, reduced, inner], whose middle axis is summed. */
export interface SumLayout {
  readonly outer: number;
  readonly reduced: number;
  readonly inner: number;
}

/** `y = Σ x / divisor` over the middle axis, in f64 until the end. False: not computed, as of all functions here. */
export function sumF32(x: Float32Array, y: Float32Array, layout: SumLayout, divisor = 1): boolean {
  return withSums(x, layout, "value", (sums) => {
    for (let i = 0; i < y.length; i++) y[i] = totalAt(sums, i, y.length) / divisor;
  });
}

/** `y = √ Σ x²` over the middle axis, in f64 until the end. */
export function normF32(x: Float32Array, y: Float32Array, layout: SumLayout): boolean {
  return withSums(x, layout, "square", (sums) => {
    for (let i = 0; i < y.length; i++) y[i] = Math.sqrt(totalAt(sums, i, y.length));
  });
}

/** The total of output `i` of `count`: each has the same number of sums, side by side. */
function totalAt(sums: Float64Array, i: number, count: number): number {
  const parts = sums.length / count;
  let total = 0;
  for (let part = i * parts; part < (i + 1) * parts; part++) total += sums[part];
  return total;
}

/** Compute the sums of all runs, or of all columns, and hand them on. */
function withSums(x: Float32Array, layout: SumLayout, term: SumTerm, finish: (sums: Float64Array) => void): boolean {
  if (x.length === 0) return false;
  const { outer, reduced, inner } = layout;
  const count = inner === 1 ? outer * Math.ceil(reduced / RUN) : outer * inner;
  const words = takeTemporary("i32", count * 2);
  if (!words) return false;
  try {
    const { array } = words;
    if (!(inner === 1 ? runs(x, array, layout, term) : columns(x, array, layout, term))) return false;
    finish(new Float64Array(array.buffer, array.byteOffset, count));
    return true;
  } finally {
    giveArray("i32", words);
  }
}

function runs(x: Float32Array, sums: TypedArray, { outer, reduced }: SumLayout, term: SumTerm): boolean {
  const perRow = Math.ceil(reduced / RUN);
  const rows = outer * perRow;
  const rowsAUnit = Math.max(1, Math.floor(RUN / reduced));
  return launch(
    runSums[term],
    { x, sums, d: reduced, length: RUN, perRow, rows, rowsAUnit },
    { units: Math.ceil(rows / rowsAUnit), cost: x.length * COST },
  );
}

function columns(x: Float32Array, sums: TypedArray, { outer, reduced, inner }: SumLayout, term: SumTerm): boolean {
  const groups = Math.max(1, Math.floor(RUN / reduced / COLUMN_GROUP));
  const columnsAUnit = Math.min(groups, Math.ceil(inner / COLUMN_GROUP)) * COLUMN_GROUP;
  const outerAUnit = columnsAUnit < inner ? 1 : Math.max(1, Math.floor(RUN / reduced / inner));
  return launch(
    columnSums[term],
    { x, sums, outer, reduced, inner, columnsAUnit, outerAUnit },
    { units: Math.ceil(outer / outerAUnit) * Math.ceil(inner / columnsAUnit), cost: x.length * COST },
  );
}
