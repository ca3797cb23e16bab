import { arraysOf, type Weight } from "./decode-runs.ts";
import type { Engine } from "./engine.ts";
import { LINEAR_SCRATCH, linearRows } from "./wasm/stored-kernels.ts";

/** ns for an element of the weight, times a row of x. */
const LINEAR_COST = 0.15;
/** Elements of the weight that a unit multiplies. */
const UNIT_ELEMENTS = 16_384;

/** Sizes of a product of few rows: x [rows, k], weight [m, k], y [rows, m]. */
export type FewRowsSizes = Readonly<Record<"rows" | "m" | "k", number>>;

/** `y = x · weightᵀ` for few rows of whole steps, reading the weight as it lies. False: there is no memory, nothing was computed. */
export function fewRowsOn(engine: Engine, x: Float32Array, weight: Weight, y: Float32Array, { rows, m, k }: FewRowsSizes): boolean {
  const columnsAUnit = 2 * Math.ceil(UNIT_ELEMENTS / k / 2);
  return engine.launch(
    linearRows[weight.format],
    { ...arraysOf(weight), x, y, rows, m, k, columnsAUnit },
    { units: Math.ceil(m / columnsAUnit), cost: rows * m * k * LINEAR_COST, scratch: LINEAR_SCRATCH },
  );
}
