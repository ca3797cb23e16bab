import { decodeInto } from "../tensor/stored-format.ts";
import { storedFault } from "./check-stored.ts";
import { decodeRunsOn, type Packed, type Weight } from "./decode-runs.ts";
import type { Engine } from "./engine.ts";
import { type FewRowsSizes, fewRowsOn } from "./few-rows.ts";
import { MIN_PACKED_WORK } from "./gemm.ts";
import type { GemmMode } from "./gemm-types.ts";
import { currentKernels } from "./launch.ts";
import { multiplyParts } from "./packed-gemm.ts";
import { emitWarning } from "./warning.ts";
import type { WeightFormat } from "./wasm/stored-decoder.ts";

export type { Packed, Weight } from "./decode-runs.ts";

/** Elements of a run where they all follow each other: whole blocks. */
const RUN = 8192;
/** Below that many elements a kernel costs more than it saves. */
const FEW = 256;
/** Most rows of x for which packing the weight costs more than it saves. */
const FEW_ROWS = 8;
/** Whole steps of every format without blocks. */
const STEP = 8;

const faults = new Map<WeightFormat, string | null>();

/**
 * What is wrong with the kernels that read weights of a format here; null when nothing is, or where there are none. They are
 * tried once, before their first use; wrong ones are not used, and a warning says so.
 */
export function weightFault(format: WeightFormat): string | null {
  const known = faults.get(format);
  if (known !== undefined) return known;
  const { engine } = currentKernels();
  const fault = engine && storedFault(engine, format);
  faults.set(format, fault);
  if (fault) emitWarning(`the CPU kernels for weights in ${format} give wrong results here, plain loops decode instead: ${fault}`);
  return fault;
}

/** What the kernels for weights of a format run on; null where there is nothing, or they are wrong here. */
const engineFor = (format: WeightFormat): Engine | null => (weightFault(format) ? null : currentKernels().engine);

/** As `decodeInto`, on all threads. */
export function decodeStored(packed: Packed, out: Float32Array, first = 0): void {
  const engine = out.length < FEW ? null : engineFor(packed.format);
  const isDone = engine && decodeRunsOn(engine, packed, out, { first, length: RUN, stride: RUN });
  if (!isDone) decodeInto(packed.format, packed.data, out, first);
}

/** `y[rows, m] = x[rows, k] · weightᵀ` for few rows, reading the weight as it lies. False: not computed. */
export function linearFewRows(x: Float32Array, weight: Weight, y: Float32Array, sizes: FewRowsSizes): boolean {
  const { rows, k } = sizes;
  if (rows > FEW_ROWS || k === 0 || k % STEP !== 0) return false;
  const engine = engineFor(weight.format);
  return engine !== null && fewRowsOn(engine, x, weight, y, sizes);
}

/**
 * As `gemm`, to the bit, with B in a stored format: decoded part by part. False: not computed (no kernels, no memory, or a product
 * so small that `gemm` of the decoded matrix shall compute it).
 */
export function gemmStored(
  mode: Exclude<GemmMode, "TN">, m: number, n: number, k: number, a: Float32Array, b: Packed, out: Float32Array,
): boolean {
  if (m * n * k < MIN_PACKED_WORK) return false;
  const engine = engineFor(b.format);
  return engine !== null && multiplyParts(engine, { mode, m, n, k, batch: 1 }, { a, b, out, accumulate: false });
}
