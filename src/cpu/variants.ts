import { ArgumentError, DeviceError } from "../tensor/errors.ts";
import { sharedHeap } from "../tensor/heap.ts";
import { gemmFault } from "./check-gemm.ts";
import { Engine } from "./engine.ts";
import type { Gemm } from "./gemm-types.ts";
import { allParts, gemmParts } from "./kernels.ts";
import { loopGemm } from "./loops.ts";
import { packedGemm } from "./packed-gemm.ts";
import { threadCount } from "./threads.ts";
import type { KernelShape } from "./wasm/assembler.ts";
import { canRevectorize } from "./wasm/compile.ts";
import { emitWarning } from "./warning.ts";

/** off: plain JavaScript. 128: SIMD. relaxed: SIMD with fused multiply-add. 256: folded into AVX2 by V8. */
export type VariantName = "off" | "128" | "relaxed" | "256";

/** The kernels as one variant builds them. */
export interface Kernels {
  readonly gemm: Gemm;
  /** Null where ops run their references. */
  readonly engine: Engine | null;
}

/** One way to build the kernels. */
export interface Variant {
  readonly name: VariantName;
  /**
   * Null where this engine cannot run the variant. Each call compiles anew: all kernels, or those of the matrix
   * product alone, to be measured.
   */
  readonly create: (part: "all" | "gemm") => Kernels | null;
  /** Taken, unless forced, only where it beats the next usable variant by this factor. */
  readonly gain?: number;
}

/** A variant that was chosen, ready to use. */
export interface ChosenKernels extends Kernels {
  readonly name: VariantName;
}

/** Every variant, the best first. The last one works everywhere. */
export const VARIANTS: readonly Variant[] = [
  {
    name: "256",
    create: (part) => (canRevectorize() ? compiled(part, { tileColumns: 16, relaxed: true }, true) : null),
    gain: 1.3,
  },
  { name: "relaxed", create: (part) => compiled(part, { tileColumns: 8, relaxed: true }, false) },
  { name: "128", create: (part) => compiled(part, { tileColumns: 8, relaxed: false }, false) },
  { name: "off", create: () => ({ gemm: loopGemm, engine: null }) },
];

/**
 * The variant that `forced` names (the value of POLARGRAD_SIMD), or, where that is undefined or empty, the
 * first that runs here, gives right results and is worth it. `warn` hears of a variant that is wrong.
 * @throws ArgumentError on an unknown name; DeviceError where the forced variant cannot run here or is wrong.
 */
export function chooseKernels(
  forced: string | undefined,
  variants: readonly Variant[] = VARIANTS,
  warn: (message: string) => void = emitWarning,
): ChosenKernels {
  if (forced) return forcedKernels(forced, variants);
  for (const [i, variant] of variants.entries()) {
    const found = usable(variant, warn);
    if (found && (variant.gain === undefined || isWorthIt(found, variant.gain, variants.slice(i + 1)))) return found;
  }
  throw new DeviceError("no variant of the kernels gives right results here: see the warnings above");
}

/** Whether kernels beat the next variant that runs here by the factor; true where there is no other. */
function isWorthIt(found: ChosenKernels, gain: number, others: readonly Variant[]): boolean {
  for (const other of others) {
    const next = other.create("gemm");
    if (next) return isFaster(found.gemm, next.gemm, gain);
  }
  return true;
}

function usable({ name, create }: Variant, warn: (message: string) => void): ChosenKernels | null {
  const kernels = create("all");
  if (!kernels) return null;
  const fault = faultOf(kernels);
  if (!fault) return { name, ...kernels };
  warn(`the CPU kernels of variant "${name}" give wrong results here and are not used: ${fault}`);
  return null;
}

function forcedKernels(forced: string, variants: readonly Variant[]): ChosenKernels {
  const variant = variants.find(({ name }) => name === forced);
  if (!variant) {
    const names = variants.map(({ name }) => name).join(", ");
    throw new ArgumentError("the CPU", "POLARGRAD_SIMD", `one of ${names}`, JSON.stringify(forced));
  }
  const kernels = variant.create("all");
  if (!kernels) throw new DeviceError(`POLARGRAD_SIMD=${forced} cannot run in this engine; unset it`);
  const fault = faultOf(kernels);
  if (fault) throw new DeviceError(`POLARGRAD_SIMD=${forced} gives wrong results here: ${fault}; unset it`);
  return { name: variant.name, ...kernels };
}

/** What is wrong with kernels, held against scalar loops; null when nothing is. */
const faultOf = ({ gemm }: Kernels): string | null => gemmFault(gemm);

function compiled(part: "all" | "gemm", shape: KernelShape, revectorize: boolean): Kernels | null {
  const heap = sharedHeap();
  if (!heap) return null;
  const engine =
    part === "all"
      ? Engine.create(heap, shape, revectorize, allParts(), threadCount())
      : Engine.create(heap, shape, revectorize, gemmParts(), 1);
  return engine && { gemm: packedGemm(engine), engine };
}

/** Whether `gemm` is `factor` times as fast as the other, by the best of a few short turns each. */
function isFaster(gemm: Gemm, other: Gemm, factor: number): boolean {
  const [m, n, k] = [48, 96, 256];
  const a = new Float32Array(m * k).fill(0.5);
  const b = new Float32Array(k * n).fill(0.25);
  const out = new Float32Array(m * n);
  const time = (candidate: Gemm): number => {
    const start = performance.now();
    candidate("NN", m, n, k, a, b, out, false);
    return performance.now() - start;
  };
  let [best, bestOther] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let turn = 0; turn < 8; turn++) {
    best = Math.min(best, time(gemm));
    bestOther = Math.min(bestOther, time(other));
  }
  return best * factor <= bestOther;
}
