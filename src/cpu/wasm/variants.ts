import { ArgumentError, DeviceError } from "../../tensor/errors.ts";
import { gemmFault } from "./check-gemm.ts";
import { canRevectorize, instantiate } from "./compile.ts";
import { emitGemmModule, type GemmKernels, type KernelShape } from "./gemm-kernel.ts";
import type { Gemm } from "./gemm-types.ts";
import { loopGemm } from "./loops.ts";
import { packedGemm } from "./packed-gemm.ts";

/** off: plain JavaScript. 128: SIMD. relaxed: SIMD with fused multiply-add. 256: folded into AVX2 by V8. */
export type GemmVariantName = "off" | "128" | "relaxed" | "256";

/** One way to multiply matrices. */
export interface GemmVariant {
  readonly name: GemmVariantName;
  /** The product, or null where this engine cannot run the variant. Each call compiles a module anew. */
  readonly create: () => Gemm | null;
  /** Taken, unless forced, only where it beats the next usable variant by this factor. */
  readonly gain?: number;
}

/** A variant that was chosen, ready to use. */
export interface ChosenGemm {
  readonly name: GemmVariantName;
  readonly gemm: Gemm;
}

/** Every variant, the best first. The last one works everywhere. */
export const GEMM_VARIANTS: readonly GemmVariant[] = [
  {
    name: "256",
    create: () => (canRevectorize() ? packed({ tileColumns: 16, relaxed: true }, true) : null),
    gain: 1.3,
  },
  { name: "relaxed", create: () => packed({ tileColumns: 8, relaxed: true }, false) },
  { name: "128", create: () => packed({ tileColumns: 8, relaxed: false }, false) },
  { name: "off", create: () => loopGemm },
];

/**
 * The variant that `forced` names (the value of POLARGRAD_SIMD), or, where that is undefined or empty, the
 * first that runs here, gives right results and is worth it. `warn` hears of a variant that is wrong.
 * @throws ArgumentError on an unknown name; DeviceError where the forced variant cannot run here or is wrong.
 */
export function chooseGemm(
  forced: string | undefined,
  variants: readonly GemmVariant[] = GEMM_VARIANTS,
  warn: (message: string) => void = emitWarning,
): ChosenGemm {
  if (forced) return forcedGemm(forced, variants);
  let challenger: { readonly found: ChosenGemm; readonly gain: number } | null = null;
  for (const variant of variants) {
    const found = usable(variant, warn);
    if (!found) continue;
    if (challenger) {
      return isFaster(challenger.found.gemm, found.gemm, challenger.gain) ? challenger.found : found;
    }
    if (variant.gain === undefined) return found;
    challenger = { found, gain: variant.gain };
  }
  if (challenger) return challenger.found;
  throw new DeviceError("no variant of the matrix product gives right results here: see the warnings above");
}

function usable({ name, create }: GemmVariant, warn: (message: string) => void): ChosenGemm | null {
  const gemm = create();
  if (!gemm) return null;
  const fault = gemmFault(gemm);
  if (!fault) return { name, gemm };
  warn(`matrix product variant "${name}" gives wrong results here and is not used: ${fault}`);
  return null;
}

function forcedGemm(forced: string, variants: readonly GemmVariant[]): ChosenGemm {
  const variant = variants.find(({ name }) => name === forced);
  if (!variant) {
    const names = variants.map(({ name }) => name).join(", ");
    throw new ArgumentError("gemm", "POLARGRAD_SIMD", `one of ${names}`, JSON.stringify(forced));
  }
  const gemm = variant.create();
  if (!gemm) throw new DeviceError(`POLARGRAD_SIMD=${forced} cannot run in this engine; unset it`);
  const fault = gemmFault(gemm);
  if (fault) throw new DeviceError(`POLARGRAD_SIMD=${forced} gives wrong results here: ${fault}; unset it`);
  return { name: variant.name, gemm };
}

function packed(shape: KernelShape, revectorize: boolean): Gemm | null {
  const kernels = instantiate(emitGemmModule(shape), revectorize) as GemmKernels | null;
  return kernels && packedGemm(kernels, shape.tileColumns);
}

/** Whether `gemm` is `factor` times as fast as the other, by the best of a few short turns each. */
function isFaster(gemm: Gemm, other: Gemm, factor: number): boolean {
  const [m, n, k] = [96, 192, 256];
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

function emitWarning(message: string): void {
  if (typeof process !== "undefined" && process.emitWarning) process.emitWarning(message, "PolargradWarning");
  else console.warn(message);
}
