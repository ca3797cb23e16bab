import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { llamaStep } from "../../bench/workloads/llama.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { compilesLate, HeadStart } from "../../src/gpu/head-start.ts";
import type { KernelSource } from "../../src/gpu/kernel.ts";
import { init } from "../../src/index.ts";
import { openTestGpu } from "../driver.ts";
import { addValue, doubleAndAdd, fill } from "./kernels.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
  await init({ device: "webgpu" });
});
afterEach(() => vi.restoreAllMocks());
afterAll(() => gpu.close());

const KERNELS = [addValue, doubleAndAdd, fill];

/** The kernels that are dispatched on the test's own stream during `action`. */
async function dispatched(action: () => unknown): Promise<KernelSource[]> {
  const dispatch = vi.spyOn(gpu.stream, "dispatch");
  await action();
  const kernels = dispatch.mock.calls.map(([kernel]) => kernel);
  dispatch.mockRestore();
  return kernels;
}

const take = (kernels: readonly KernelSource[], knownMs: number): Promise<KernelSource[]> =>
  dispatched(() => new HeadStart(gpu.device, gpu.stream).take(kernels, knownMs));

describe("a head start", () => {
  it("runs the last kernel first, and all of them where the driver has to compile", async () => {
    expect(await take(KERNELS, -1)).toEqual([fill, doubleAndAdd, addValue]);
  });

  it("stops after the second where the driver knew the first", async () => {
    expect(await take(KERNELS, Number.POSITIVE_INFINITY)).toEqual([fill, doubleAndAdd]);
  });

  it("runs every kernel of a training step with nothing to do, and WebGPU refuses none", async () => {
    const step = llamaStep("webgpu");
    const kernels = [...new Set(await dispatched(() => step().item()))];
    expect(kernels.length).toBeGreaterThan(20);
    expect(await take(kernels, -1)).toEqual(kernels.toReversed());
    await gpu.stream.finish();
    expect(gpu.healthy).toBe(true);
  });

  it("is given the new kernels of a submit, in the order of their first run, on adapters that compile late", () => {
    const given = vi.spyOn(HeadStart.prototype, "take");
    const kernels = KERNELS.map((kernel) => ({ ...kernel, code: `${kernel.code}\n// another kernel` }));
    const buffer = (): ReturnType<typeof gpu.pool.acquire> => gpu.pool.acquire(256);
    const run = (kernel: KernelSource): void =>
      gpu.stream.dispatch(kernel, kernel.bindings.map(buffer), new Uint32Array(2), [1, 1, 1]);
    for (const kernel of [...kernels, ...kernels]) run(kernel);
    gpu.stream.flush();
    for (const kernel of kernels) run(kernel);
    gpu.stream.flush();
    expect(given.mock.calls).toEqual(compilesLate(gpu.profile.description) ? [[kernels]] : []);
  });

  it("throws nothing when its device is lost", async () => {
    await gpu.close();
    new HeadStart(gpu.device, gpu.stream).take(KERNELS, -1);
    gpu = await openTestGpu();
  });
});
