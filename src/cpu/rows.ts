import { giveArray, takeArray } from "../tensor/array-pool.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { launch } from "./launch.ts";
import {
  COLUMNS_A_UNIT, inverseRmsRows, rmsNormDxRows, rmsNormRows, weightedColumnSums,
} from "./wasm/row-kernels.ts";
import { softmaxLossRows } from "./wasm/loss-kernel.ts";
import { ropeRows } from "./wasm/rope-kernel.ts";

/** Floats of a unit of rows. */
const UNIT_FLOATS = 8192;
/** ns for a float that is read and used twice, and of one with exponentials. */
const ROW_COST = 0.5;
const EXP_COST = 1.5;

/** Units of about `UNIT_FLOATS`. */
function units(rows: number, d: number, cost: number) {
  const rowsAUnit = Math.max(1, Math.floor(UNIT_FLOATS / d));
  return { rowsAUnit, options: { units: Math.ceil(rows / rowsAUnit), cost: rows * d * cost } };
}

/** Sizes of a row-wise normalisation. */
export interface NormSizes {
  readonly rows: number;
  readonly d: number;
  readonly eps: number;
}

/** `y = x · r · weight`, `r = 1 / √(mean(x²) + eps)` of each row. False: not computed, as of all functions here. */
export function rmsNormF32(x: Float32Array, weight: Float32Array, y: Float32Array, { rows, d, eps }: NormSizes): boolean {
  const { rowsAUnit, options } = units(rows, d, ROW_COST);
  return launch(rmsNormRows, { x, weight, y, rows, d, rowsAUnit, eps }, options);
}

/** The cotangent of `rmsNormF32`'s x. */
export function rmsNormDxF32(
  x: Float32Array, weight: Float32Array, dy: Float32Array, dx: Float32Array, { rows, d, eps }: NormSizes,
): boolean {
  const { rowsAUnit, options } = units(rows, d, ROW_COST);
  return launch(rmsNormDxRows, { x, weight, dy, dx, rows, d, rowsAUnit, eps }, options);
}

/** The cotangent of `rmsNormF32`'s weight. */
export function rmsNormDweightF32(
  x: Float32Array, dy: Float32Array, dweight: Float32Array, { rows, d, eps }: NormSizes,
): boolean {
  if (rows === 0) return false;
  const r = takeArray("f32", rows);
  try {
    const { rowsAUnit, options } = units(rows, d, ROW_COST);
    if (!launch(inverseRmsRows, { x, r: r.array, rows, d, rowsAUnit, eps }, options)) return false;
    return launch(
      weightedColumnSums,
      { a: x, b: dy, factor: r.array, sums: dweight, rows, d },
      { units: Math.ceil(d / COLUMNS_A_UNIT), cost: rows * d * ROW_COST },
    );
  } finally {
    giveArray("f32", r);
  }
}

/** `rope` of x [rows, h, 2·p] with the angles [t, p] of position `row mod t`, times `turn` (1 or -1). */
export function ropeF32(
  x: Float32Array, cos: Float32Array, sin: Float32Array, y: Float32Array,
  { rows, t, h, p, turn }: Readonly<Record<"rows" | "t" | "h" | "p" | "turn", number>>,
): boolean {
  const { rowsAUnit, options } = units(rows, h * 2 * p, ROW_COST);
  return launch(ropeRows, { x, cos, sin, y, rows, t, h, p, rowsAUnit, turn }, options);
}

/** What `softmaxLossF32` is given. */
export interface LossRows {
  /** [rows, v]; becomes its cotangent where `scales` is given. */
  readonly logits: Float32Array;
  /** Index of each row's label, -1 to pass over it. */
  readonly labels: TypedArray;
  /** The cotangent of each row's loss. */
  readonly scales: Float32Array | null;
  readonly v: number;
  /** Receives each row's loss. */
  readonly loss: Float32Array;
}

/** Cross-entropy of each row, 0 where the label is -1, and its cotangent in place of the logits. */
export function softmaxLossF32({ logits, labels, scales, v, loss }: LossRows): boolean {
  const rows = labels.length;
  const facts = takeArray("f32", rows * 3);
  try {
    const { rowsAUnit, options } = units(rows, v, EXP_COST);
    const isDone = launch(
      softmaxLossRows,
      { logits, labels, facts: facts.array, scales: scales ?? facts.array, write: scales ? 1 : 0, rows, d: v, rowsAUnit },
      options,
    );
    const { array } = facts;
    // top + log total - the label's logit
    for (let row = 0; isDone && row < rows; row++) {
      loss[row] = array[row * 3] + Math.log(array[row * 3 + 1]) - array[row * 3 + 2];
    }
    return isDone;
  } finally {
    giveArray("f32", facts);
  }
}
