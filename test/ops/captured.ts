import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { capture, type Captured, closeDevice, currentGpu, manualSeed, openDevice, tensor } from "../../src/ops/index.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { useTestDriver } from "../driver.ts";

/** Where captured functions are replayed. */
export const device = "webgpu";
/** A tensor there. */
export const row = (...values: number[]): Tensor => tensor(values, { device });
/** The GPU. */
export const open = (): Gpu => currentGpu() as Gpu;
/** The elements of tensors, which are disposed of. */
export const valuesOf = async (tensors: readonly Tensor[]): Promise<number[][]> => {
  const values = await Promise.all(tensors.map(async (one) => [...(await one.data())]));
  for (const one of tensors) one.dispose();
  return values;
};

let captured: Captured<readonly Tensor[]>[] = [];
/** A captured function that counts how often it really ran. */
export function counting<const A extends readonly Tensor[]>(f: (...args: A) => readonly Tensor[]): { readonly call: Captured<A>; runs(): number } {
  let runs = 0;
  const call = capture<A>((...args) => {
    runs++;
    return f(...args);
  });
  captured.push(call as unknown as Captured<readonly Tensor[]>);
  return { call, runs: () => runs };
}

/** Opens the GPU for the tests of a file, and disposes of what they captured. */
export function useGpu(): void {
  beforeAll(async () => {
    useTestDriver();
    await openDevice(device);
  });
  afterAll(closeDevice);
  beforeEach(() => manualSeed(7));
  afterEach(async () => {
    for (const one of captured) one.dispose();
    captured = [];
    expect(await open().pool.checkGuards()).toEqual([]);
  });
}
