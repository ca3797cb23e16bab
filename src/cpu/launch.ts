import type { ArgumentValues, LaunchOptions } from "./engine.ts";
import { type ChosenKernels, chooseKernels, type VariantName } from "./variants.ts";
import type { ArgumentKind, Kernel } from "./wasm/kernel.ts";

export type { VariantName } from "./variants.ts";

let chosen: ChosenKernels | null = null;

/** The kernels in use: chosen at the first call, or by POLARGRAD_SIMD. @throws ArgumentError, DeviceError for a bad setting */
export function currentKernels(): ChosenKernels {
  chosen ??= chooseKernels(typeof process === "undefined" ? undefined : process.env?.POLARGRAD_SIMD);
  return chosen;
}

/** What computes on the CPU, and with how many threads. */
export function cpuKernels(): { readonly variant: VariantName; readonly threads: number } {
  const { name, engine } = currentKernels();
  return { variant: name, threads: engine?.threads ?? 1 };
}

/** Run a kernel. False where there are none (POLARGRAD_SIMD=off) or no memory: nothing was computed. */
export function launch<A extends Readonly<Record<string, ArgumentKind>>>(
  kernel: Kernel<A>, values: ArgumentValues<A>, options: LaunchOptions,
): boolean {
  return currentKernels().engine?.launch(kernel, values, options) ?? false;
}
