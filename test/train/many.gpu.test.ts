import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { GpuMemoryError } from "../../src/gpu/errors.ts";
import { closeDevice, currentGpu, openDevice } from "../../src/ops/init.ts";
import { tensor, tidy } from "../../src/ops/index.ts";
import type { Device } from "../../src/tensor/storage.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { testSeed } from "../../src/testing/random.ts";
import { AdamW, clipGradients } from "../../src/train/index.ts";
import { useTestDriver } from "../driver.ts";

let gpu: Gpu;
beforeAll(async () => {
  useTestDriver();
  await openDevice("webgpu");
  gpu = currentGpu() as Gpu;
});
afterAll(closeDevice);

const wave = (size: number, seed: number, scale = 1): Float32Array =>
  Float32Array.from({ length: size }, (_, i) => scale * (((i * 0.6180339887 + seed * 0.37) % 1) - 0.5));

/** f32 on webgpu, f64 on the CPU. */
function on(device: Device, values: Float32Array, shape = [values.length]) {
  return tensor(device === "cpu" ? Float64Array.from(values) : values, { device, shape });
}

function parametersOn(device: Device, sizes: readonly number[]): Parameter[] {
  return sizes.map((size, i) => {
    const value = on(device, wave(size, i));
    const parameter = new Parameter(value);
    value.dispose();
    return parameter;
  });
}

interface Run {
  readonly sizes: readonly number[];
  /** Which parameters have a gradient, step by step. */
  readonly steps: readonly (readonly boolean[])[];
  /** Which parameters are in the second group. */
  readonly second: readonly boolean[];
  readonly maxNorm: number | null;
  readonly largest: number;
}

const runs: fc.Arbitrary<Run> = fc.array(fc.integer({ min: 0, max: 9000 }), { minLength: 1, maxLength: 7 }).chain((sizes) => {
  const flags = fc.array(fc.boolean(), { minLength: sizes.length, maxLength: sizes.length });
  return fc.record({
    sizes: fc.constant(sizes),
    steps: fc.array(flags, { minLength: 1, maxLength: 4 }),
    second: flags,
    maxNorm: fc.option(fc.double({ min: 0.01, max: 60, noNaN: true })),
    largest: fc.constantFrom(2 ** 16, 2 ** 27),
  });
});

/** Values after the steps, gradients after clipping and norms before it. */
async function train(device: Device, { sizes, steps, second, maxNorm }: Run): Promise<number[]> {
  const params = parametersOn(device, sizes);
  const pick = (isSecond: boolean) => params.filter((_, i) => second[i] === isSecond);
  const groups = [
    { params: pick(false), lr: 0.02, weightDecay: 0.1 },
    { params: pick(true), lr: 0.3, weightDecay: 0, betas: [0.5, 0.9] as const, eps: 0.01 },
  ];
  const optimizer = new AdamW(groups.filter(({ params }) => params.length > 0));
  const seen: number[] = [];
  for (const [step, flags] of steps.entries()) {
    for (const [i, parameter] of params.entries()) {
      if (flags[i]) parameter.grad = on(device, wave(sizes[i], 7 * step + i));
    }
    if (maxNorm !== null) {
      const norm = clipGradients(params, maxNorm);
      seen.push((await norm?.item()) ?? -1);
      norm?.dispose();
    }
    for (const { grad } of params) seen.push(...((await grad?.data()) ?? []));
    optimizer.step();
    optimizer.zeroGrad();
  }
  for (const parameter of params) {
    seen.push(...(await parameter.data()), parameter.version);
    parameter.dispose();
  }
  optimizer.dispose();
  return seen;
}

const difference = (actual: readonly number[], expected: readonly number[]): number =>
  expected.reduce((worst, value, i) => Math.max(worst, Math.abs(actual[i] - value) / Math.max(1, Math.abs(value))), 0);

describe("AdamW and clipping on the GPU", () => {
  it("give what f64 gives, for any sizes, groups and missing gradients, in one buffer or several, and leave nothing behind", () =>
    fc.assert(
      fc.asyncProperty(runs, async (run) => {
        const limit = vi.spyOn(gpu.pool, "largest", "get").mockReturnValue(run.largest);
        const { live } = gpu.pool.counts;
        const actual = await train("webgpu", run);
        limit.mockRestore();
        expect(gpu.pool.counts.live).toBe(live);
        const expected = await train("cpu", run);
        expect(actual.length).toBe(expected.length);
        // A step of lr 0.3 is known to about 1e-6 of itself.
        expect(difference(actual, expected)).toBeLessThan(3e-6);
      }),
      { numRuns: 25, seed: testSeed() },
    ));

  const dispatches = (f: () => void): number => {
    const before = gpu.stream.counts.dispatches;
    f();
    return gpu.stream.counts.dispatches - before;
  };

  it("take as many dispatches for many parameters as for one, and as many buffers at each step", () => {
    const params = parametersOn("webgpu", Array.from({ length: 40 }, (_, i) => 100 * i + 1));
    const optimizer = new AdamW(params);
    const live: number[] = [];
    const counts: number[][] = [];
    for (let step = 0; step < 4; step++) {
      for (const parameter of params) parameter.grad = on("webgpu", wave(parameter.size, step));
      const clip = dispatches(() => clipGradients(params, 1)?.dispose());
      counts.push([clip, dispatches(() => optimizer.step())]);
      optimizer.zeroGrad();
      live.push(gpu.pool.counts.live);
    }
    expect(counts).toEqual(Array.from({ length: 4 }, () => [3, 1]));
    expect(new Set(live).size).toBe(1);
    optimizer.dispose();
    for (const parameter of params) parameter.dispose();
  });

  it("take a dispatch for each group, in whatever order its parameters were clipped", () => {
    const params = parametersOn("webgpu", Array.from({ length: 12 }, (_, i) => i));
    const groups = [0, 1].map((odd) => ({ params: params.filter((_, i) => i % 2 === odd) }));
    const optimizer = new AdamW(groups);
    for (let step = 0; step < 2; step++) {
      for (const parameter of params) parameter.grad = on("webgpu", wave(parameter.size, step));
      clipGradients(params, 1)?.dispose();
      expect(dispatches(() => optimizer.step())).toBe(2);
      optimizer.zeroGrad();
    }
    // Without its neighbours' gradients a parameter is still updated where it lies.
    for (const i of [0, 2, 6, 8, 10]) params[i].grad = on("webgpu", wave(i, 2));
    expect(dispatches(() => optimizer.step())).toBe(2);
    optimizer.zeroGrad();
    optimizer.dispose();
    for (const parameter of params) parameter.dispose();
  });

  it("change a parameter in place, but not what else holds its elements", async () => {
    const [p] = parametersOn("webgpu", [70]);
    const optimizer = new AdamW([p], { lr: 0.1 });
    const step = async (): Promise<number[]> => {
      p.grad = on("webgpu", wave(70, 3));
      optimizer.step();
      optimizer.zeroGrad();
      return [...(await p.data())];
    };
    const first = await step();
    const { storage } = p;
    const held = p.detach();
    const second = await step();
    expect(p.storage).not.toBe(storage);
    expect([...(await held.data())]).toEqual(first);
    held.dispose();
    const now = p.storage;
    const third = await step();
    expect(p.storage).toBe(now);
    expect(p.version).toBe(3);
    for (const [before, after] of [[first, second], [second, third]]) {
      expect(before.every((value, i) => Math.abs(value - after[i]) > 0.09)).toBe(true);
    }
    optimizer.dispose();
    p.dispose();
  });

  it.each([
    { name: "NaN", odd: Number.NaN, maxNorm: 1, norm: Number.NaN, gradients: [Number.NaN, Number.NaN] },
    { name: "infinity", odd: Number.POSITIVE_INFINITY, maxNorm: 1, norm: Number.POSITIVE_INFINITY, gradients: [Number.NaN, 0] },
    { name: "a number beyond f32 as the bound", odd: 2, maxNorm: Number.MAX_VALUE, norm: 3, gradients: [2, 1] },
    { name: "a bound of 0", odd: 2, maxNorm: 0, norm: 3, gradients: [0, 0] },
  ])("let $name through as on the CPU", async ({ odd, maxNorm, norm: expected, gradients }) => {
    for (const device of ["cpu", "webgpu"] as const) {
      const params = parametersOn(device, [1, 5]);
      const values = [[odd], [1, 2, 0, 0, 0]];
      for (const [i, parameter] of params.entries()) parameter.grad = on(device, Float32Array.from(values[i]));
      const norm = clipGradients(params, maxNorm);
      expect(await norm?.item()).toBe(expected);
      expect([...((await params[0].grad?.data()) ?? [])]).toEqual([gradients[0]]);
      expect((await params[1].grad?.data())?.[0]).toEqual(gradients[1]);
      norm?.dispose();
      for (const parameter of params) {
        parameter.grad?.dispose();
        parameter.dispose();
      }
    }
  });

  it("leave values and steps as they were where memory runs out, and go on afterwards", async () => {
    const sizes = [9000, 5000];
    const params = parametersOn("webgpu", sizes);
    const optimizer = new AdamW(params, { lr: 0.02, weightDecay: 0.1 });
    const values = await params[0].data();
    const { ledger, pool } = gpu;
    const { budget } = ledger;
    let refused = 0;
    for (let room = 0; room < 200_000; room += 20_000) {
      for (const [i, parameter] of params.entries()) parameter.grad = on("webgpu", wave(sizes[i], i));
      pool.trim();
      ledger.budget = ledger.live + room;
      try {
        tidy(() => clipGradients(params, 1)?.dispose());
        optimizer.step();
      } catch (error) {
        expect(error).toBeInstanceOf(GpuMemoryError);
        refused++;
        expect(await params[0].data()).toEqual(values);
      }
      ledger.budget = budget;
      optimizer.zeroGrad();
      if (params[0].version > 0) break;
    }
    expect(refused).toBeGreaterThan(3);
    const actual: number[] = [];
    for (const parameter of params) {
      actual.push(...(await parameter.data()), parameter.version);
      parameter.dispose();
    }
    optimizer.dispose();
    const flags = [true, true];
    const expected = await train("cpu", { sizes, steps: [flags], second: [false, false], maxNorm: 1, largest: 0 });
    expect(difference(actual, expected.slice(-actual.length))).toBeLessThan(3e-6);
  });
});
