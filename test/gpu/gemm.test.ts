import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { foldGrid } from "../../src/gpu/fold-grid.ts";
import { type GemmMode, type GemmSize, gemmPlan } from "../../src/gpu/gemm.ts";
import type { KernelProfile } from "../../src/tensor/op-spec.ts";
import { openTestGpu } from "../driver.ts";
import { noise, runPlan } from "./kernel-harness.ts";
import { deviation, FAMILIES, MODES, profileOf, reference } from "./products.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const lengthOf = (matrix: number, stride: number, batch: number): number =>
  batch === 0 ? 0 : matrix + stride * (batch - 1);

type Spoil = (a: Float32Array, b: Float32Array) => void;

async function multiply(profile: KernelProfile, mode: GemmMode, size: GemmSize, spoil?: Spoil) {
  const { batch, m, n, k, strideA = m * k, strideB = k * n } = size;
  const a = noise(lengthOf(m * k, strideA, batch), 1);
  const b = noise(lengthOf(k * n, strideB, batch), 2);
  spoil?.(a, b);
  const c = await runPlan(gpu, gemmPlan(profile, mode, size), [a, b], batch * m * n);
  return { a, b, c };
}

async function check(profile: KernelProfile, mode: GemmMode, size: GemmSize): Promise<void> {
  const { a, b, c } = await multiply(profile, mode, size);
  expect(deviation(c, reference(mode, size, a, b), size.k), `${mode} ${JSON.stringify(size)}`).toBe(null);
}

const SIZES: readonly (readonly [m: number, n: number, k: number])[] = [
  [1, 1, 1],
  [1, 64, 257],
  [7, 8, 63],
  [8, 7, 64],
  [8, 256, 8],
  [16, 16, 4],
  [63, 65, 7],
  [64, 64, 64],
  [65, 63, 65],
  [255, 4, 16],
  [256, 8, 255],
  [4, 257, 256],
  [257, 255, 1],
];

describe.each(FAMILIES)("gemm on %s", (_, profile) => {
  describe.each(MODES)("%s", (mode) => {
    it.each(SIZES)("%i x %i, k %i", (m, n, k) => check(profile(gpu), mode, { batch: 1, m, n, k }));

    it.each([
      [17, 33, 9],
      [16, 8, 12],
    ])("batches of %i x %i, k %i, each operand shared or not", async (m, n, k) => {
      for (const strideA of [m * k, 0]) {
        for (const strideB of [k * n, 0]) await check(profile(gpu), mode, { batch: 3, m, n, k, strideA, strideB });
      }
    });

    it("sums a long and narrow product right, the gradient of a weight in parts", async () => {
      const size = { batch: 1, m: 8, n: 12, k: 1024 };
      expect(gemmPlan(profile(gpu), mode, size).first === undefined).toBe(mode !== "TN");
      await check(profile(gpu), mode, size);
    });

    it("takes batches that do not start at a multiple of four", async () => {
      await check(profile(gpu), mode, { batch: 2, m: 8, n: 8, k: 8, strideA: 65, strideB: 64 });
      await check(profile(gpu), mode, { batch: 2, m: 8, n: 8, k: 8, strideA: 64, strideB: 70 });
    });

    it("writes zeros for k = 0 and nothing for an empty result", async () => {
      const { c } = await multiply(profile(gpu), mode, { batch: 2, m: 5, n: 4, k: 0 });
      expect([...c]).toEqual(new Array(40).fill(0));
      for (const [batch, m, n] of [[0, 3, 3], [2, 0, 3], [2, 3, 0]]) {
        const empty = await multiply(profile(gpu), mode, { batch, m, n, k: 3 });
        expect(empty.c.length).toBe(0);
      }
    });

    it.each([
      [33, 18, 21],
      [32, 16, 20],
    ])("keeps NaN to its row and infinity to its column: %i x %i, k %i", async (m, n, k) => {
      const [row, column, last] = [3, 2, k - 1];
      const { c } = await multiply(profile(gpu), mode, { batch: 1, m, n, k }, (a, b) => {
        a[mode === "TN" ? last * m + row : row * k + last] = Number.NaN;
        b[mode === "NT" ? column * k + last : last * n + column] = Number.POSITIVE_INFINITY;
      });
      const odd = (i: number): boolean => Math.floor(i / n) === row || i % n === column;
      expect(c.findIndex((x, i) => Number.isFinite(x) === odd(i))).toBe(-1);
      expect(c[row * n]).toBeNaN();
    });
  });

  it("serves every size with a handful of kernels", () => {
    const plans = SIZES.flatMap(([m, n, k]) => MODES.map((mode) => gemmPlan(profile(gpu), mode, { batch: 1, m, n, k })));
    expect(new Set(plans.map((plan) => plan.kernel)).size).toBeLessThanOrEqual(13);
  });
});

it("folds more than 65535 tiles", async () => {
  const profile = profileOf(gpu);
  expect(gemmPlan(profile, "NN", { batch: 65537, m: 1, n: 2, k: 3 }).grid[1]).toBe(2);
  await check(profile, "NN", { batch: 65537, m: 1, n: 2, k: 3 });
});

it("shares A between lanes on CPU adapters with subgroups, and uses workgroup memory on GPUs only", () => {
  const size = { batch: 1, m: 32, n: 32, k: 32 };
  const label = (profile: KernelProfile): string => gemmPlan(profile, "NT", size).kernel.label;
  expect(label({ isSoftware: true, subgroupSize: 4, subgroups: true })).toBe("gemm NT subgroup 8x16");
  expect(label({ isSoftware: true, subgroupSize: 8, subgroups: true })).toBe("gemm NT subgroup 16x32");
  expect(label({ isSoftware: true, subgroupSize: 16, subgroups: true })).toBe("gemm NT subgroup 16x64");
  expect(label({ isSoftware: true, subgroupSize: null, subgroups: true })).toBe("gemm NT register 8x32");
  expect(label({ isSoftware: false, subgroupSize: 32, subgroups: true })).toBe("gemm NT tile 32x32x16");
});

it.each([0, 1, 65535, 65536, 70001, 65535 ** 2, 65535 ** 2 + 1, 2 ** 32 - 1])("foldGrid covers %i workgroups", (groups) => {
  const grid = foldGrid(groups);
  const product = grid[0] * grid[1] * grid[2];
  expect(Math.max(...grid)).toBeLessThanOrEqual(65535);
  expect(product).toBeGreaterThanOrEqual(groups);
  expect(product - groups).toBeLessThanOrEqual(2 * grid[1] * grid[2]);
});
