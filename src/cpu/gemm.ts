import { ArgumentError } from "../tensor/errors.ts";
import type { GemmMode } from "./gemm-types.ts";
import { currentKernels, type VariantName } from "./launch.ts";
import { loopGemm } from "./loops.ts";

export type { GemmMode } from "./gemm-types.ts";

/** Multiply-adds below which starting a kernel costs more than plain loops (measured). */
export const MIN_PACKED_WORK = 1024;

/** Options of {@link gemm}. */
export interface GemmOptions {
  /** Add to what `out` holds; by default it is overwritten. */
  readonly accumulate?: boolean;
  /** How many products, one after the other in all three arrays. Default 1. */
  readonly batch?: number;
}

/**
 * `out[m, n] = op(A)[m, k] · op(B)[k, n]`, all f32 and row-major, on all threads.
 * A is stored [m, k] (TN: [k, m]), B [k, n] (NT: [n, k]); any size from 0; `out` must not overlap A or B.
 * Results depend on the machine in the last bits (see {@link gemmVariant}), never on the number of threads.
 * @throws ArgumentError on a size that is no count, an array of the wrong length, or an overlap.
 */
export function gemm(
  mode: GemmMode, m: number, n: number, k: number,
  a: Float32Array, b: Float32Array, out: Float32Array, options: GemmOptions = {},
): void {
  const { accumulate = false, batch = 1 } = options;
  checkArguments(m, n, k, batch, a, b, out);
  if (m * n * batch === 0) return;
  if (k === 0) {
    if (!accumulate) out.fill(0);
    return;
  }
  const run = batch * m * n * k < MIN_PACKED_WORK ? loopGemm : currentKernels().gemm;
  run(mode, m, n, k, a, b, out, accumulate, batch);
}

/**
 * Which implementation {@link gemm} uses beyond tiny sizes: chosen at the first call, or by the environment
 * variable POLARGRAD_SIMD. `off` is plain JavaScript, `128` SIMD, `relaxed` and `256` fuse multiply and add.
 * @throws ArgumentError, DeviceError on a POLARGRAD_SIMD that is unknown or cannot run here.
 */
export function gemmVariant(): VariantName {
  return currentKernels().name;
}

function checkArguments(
  m: number, n: number, k: number, batch: number, a: Float32Array, b: Float32Array, out: Float32Array,
): void {
  for (const [name, value] of [["m", m], ["n", n], ["k", k], ["batch", batch]] as const) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new ArgumentError("gemm", name, "an integer from 0", String(value));
    }
  }
  checkLength("a", a, m, k, batch);
  checkLength("b", b, k, n, batch);
  checkLength("out", out, m, n, batch);
  if (overlap(a, out) || overlap(b, out)) {
    throw new ArgumentError("gemm", "out", "apart from a and b", "an array that overlaps one", "copy it first");
  }
}

function checkLength(name: string, array: Float32Array, x: number, y: number, batch: number): void {
  if (array.length === x * y * batch) return;
  const product = `${x} · ${y}${batch === 1 ? "" : ` · ${batch}`}`;
  throw new ArgumentError("gemm", name, `of ${x * y * batch} elements (${product})`, `${array.length}`);
}

function overlap(x: Float32Array, y: Float32Array): boolean {
  if (x.buffer !== y.buffer) return false;
  return x.byteOffset < y.byteOffset + y.byteLength && y.byteOffset < x.byteOffset + x.byteLength;
}
