import { giveArray, takeArray } from "../tensor/array-pool.ts";
import { isInHeap } from "../tensor/heap.ts";
import { launch } from "./launch.ts";
import { adamwPieces, PIECE, ROW_WORDS, scalePieces, squareSumPieces } from "./wasm/adamw-kernel.ts";

/** The arrays of one parameter, all of one length; those that a call does not use are absent. */
export interface ManyRow {
  readonly g: Float32Array;
  readonly p?: Float32Array;
  readonly m?: Float32Array;
  readonly v?: Float32Array;
  readonly out?: Float32Array;
}

/** One AdamW step's numbers: see `adamwUpdate`. */
export interface AdamwNumbers {
  readonly beta1: number;
  readonly beta2: number;
  readonly lr: number;
  readonly eps: number;
  readonly decay: number;
  readonly correction1: number;
  readonly correction2: number;
}

/** ns for a float, with arithmetic or of a plain pass. */
const UPDATE_COST = 1;
const PASS_COST = 0.3;

/** One AdamW step of many parameters: m and v change in place. False: nothing was computed, as of all here. */
export function adamwF32(rows: readonly ManyRow[], numbers: AdamwNumbers): boolean {
  const { beta1, beta2, lr, eps, decay, correction1, correction2 } = numbers;
  return withTable(rows, UPDATE_COST, (table, options) =>
    launch(
      adamwPieces,
      {
        table, beta1, rest1: 1 - beta1, beta2, rest2: 1 - beta2, eps,
        keep: 1 - lr * decay, step: lr / correction1, root: Math.sqrt(correction2),
      },
      options,
    ),
  );
}

/** The sum of squares of all `g`; null where it was not computed. */
export function squareSumF32(rows: readonly ManyRow[]): number | null {
  let total = 0;
  const isDone = withTable(rows, PASS_COST, (table, options) => {
    const sums = takeArray("f32", options.units);
    try {
      if (!launch(squareSumPieces, { table, sums: sums.array }, options)) return false;
      for (const sum of sums.array) total += sum;
      return true;
    } finally {
      giveArray("f32", sums);
    }
  });
  return isDone ? total : null;
}

/** `out = factor · g` of many arrays. */
export const scaleF32 = (rows: readonly ManyRow[], factor: number): boolean =>
  withTable(rows, PASS_COST, (table, options) => launch(scalePieces, { table, factor }, options));

/** Run something over the table of all pieces. */
function withTable(
  rows: readonly ManyRow[],
  cost: number,
  run: (table: Int32Array, options: { readonly units: number; readonly cost: number }) => boolean,
): boolean {
  const columns = rows.map(({ p, g, m, v, out }) => [p, g, m, v, out]);
  if (!columns.flat().every((array) => array === undefined || isInHeap(array))) return false;
  const units = rows.reduce((sum, { g }) => sum + Math.ceil(g.length / PIECE), 0);
  const floats = rows.reduce((sum, { g }) => sum + g.length, 0);
  const table = takeArray("i32", units * ROW_WORDS);
  const words = table.array as Int32Array;
  let at = 0;
  try {
    for (const [i, { g }] of rows.entries()) {
      for (let start = 0; start < g.length; start += PIECE) {
        for (const array of columns[i]) words[at++] = array ? array.byteOffset + start * 4 : 0;
        words[at++] = Math.min(PIECE, g.length - start);
      }
    }
    return run(words, { units, cost: floats * cost });
  } finally {
    giveArray("i32", table);
  }
}
