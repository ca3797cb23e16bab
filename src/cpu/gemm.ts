import { ArgumentError } from "../tensor/errors.ts";
import type { GemmMode } from "./wasm/gemm-types.ts";
import { loopGemm } from "./wasm/loops.ts";
import { type ChosenGemm, chooseGemm, type GemmVariantName } from "./wasm/variants.ts";

export type { GemmMode } from "./wasm/gemm-types.ts";
export type { GemmVariantName } from "./wasm/variants.ts";

/** Multiply-adds below which copying and packing cost more than plain loops (measured). */
const MIN_PACKED_WORK = 1024;

let chosen: ChosenGemm | null = null;

/** Options of {@link gemm}. */
export interface GemmOptions {
  /** Add to what `out` holds; by default it is overwritten. */
  readonly accumulate?: boolean;
}

/**
 * `out[m, n] = op(A)[m, k] · op(B)[k, n]`, all f32 and row-major, on the calling thread.
 * A is stored [m, k] (TN: [k, m]), B [k, n] (NT: [n, k]); any size from 0; `out` must not overlap A or B.
 * Results depend on the machine in the last bits: see {@link gemmVariant}.
 * @throws ArgumentError on a size that is no count, an array of the wrong length, or an overlap.
 */
export function gemm(
  mode: GemmMode, m: number, n: number, k: number,
  a: Float32Array, b: Float32Array, out: Float32Array, options: GemmOptions = {},
): void {
  checkArguments(m, n, k, a, b, out);
  const accumulate = options.accumulate ?? false;
  if (m * n === 0) return;
  if (k === 0) {
    if (!accumulate) out.fill(0);
    return;
  }
  const run = m * n * k < MIN_PACKED_WORK ? loopGemm : current().gemm;
  run(mode, m, n, k, a, b, out, accumulate);
}

/**
 * Which implementation {@link gemm} uses beyond tiny sizes: chosen at the first call, or by the environment
 * variable POLARGRAD_SIMD. `off` is plain JavaScript, `128` SIMD, `relaxed` and `256` fuse multiply and add.
 * @throws ArgumentError, DeviceError on a POLARGRAD_SIMD that is unknown or cannot run here.
 */
export function gemmVariant(): GemmVariantName {
  return current().name;
}

function current(): ChosenGemm {
  chosen ??= chooseGemm(typeof process === "undefined" ? undefined : process.env?.POLARGRAD_SIMD);
  return chosen;
}

function checkArguments(
  m: number, n: number, k: number, a: Float32Array, b: Float32Array, out: Float32Array,
): void {
  for (const [name, value] of [["m", m], ["n", n], ["k", k]] as const) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new ArgumentError("gemm", name, "an integer from 0", String(value));
    }
  }
  checkLength("a", a, m, k);
  checkLength("b", b, k, n);
  checkLength("out", out, m, n);
  if (overlap(a, out) || overlap(b, out)) {
    throw new ArgumentError("gemm", "out", "apart from a and b", "an array that overlaps one", "copy it first");
  }
}

function checkLength(name: string, array: Float32Array, x: number, y: number): void {
  if (array.length === x * y) return;
  throw new ArgumentError("gemm", name, `of ${x * y} elements (${x} · ${y})`, `${array.length}`);
}

function overlap(x: Float32Array, y: Float32Array): boolean {
  if (x.buffer !== y.buffer) return false;
  return x.byteOffset < y.byteOffset + y.byteLength && y.byteOffset < x.byteOffset + x.byteLength;
}
