import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { type GemmSize, gemmPlan, storedGemmPlan } from "../../src/gpu/gemm.ts";
import type { GemmFormat } from "../../src/gpu/gemm-wgsl.ts";
import type { KernelProfile } from "../../src/tensor/op-spec.ts";
import { decode } from "../../src/tensor/stored-format.ts";
import { openTestGpu } from "../driver.ts";
import { noise, runPlan } from "./kernel-harness.ts";
import { deviation, FAMILIES, GPU_ADAPTER, pack, reference, roundings, wordsOf } from "./products.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const ROWS = [1, 2, 3, 4, 5, 6, 7, 8];

async function check(profile: KernelProfile, size: GemmSize): Promise<void> {
  const { batch, m, n, k, strideA = m * k, strideB = k * n } = size;
  const a = noise(m * k + strideA * (batch - 1), 1);
  const b = noise(k * n + strideB * (batch - 1), 2);
  const c = await runPlan(gpu, gemmPlan(profile, "NT", size), [a, b], batch * m * n);
  expect(deviation(c, reference("NT", size, a, b), k), JSON.stringify(size)).toBe(null);
}

async function checkStored(profile: KernelProfile, format: Exclude<GemmFormat, "f32">, m: number, n: number, k: number): Promise<void> {
  const size = { batch: 1, m, n, k };
  const packed = pack(format, noise(n * k, 2));
  const a = noise(m * k, 1);
  const plan = storedGemmPlan(format, profile, "NT", size);
  if (!plan) throw new Error("the operand would be decoded first");
  const c = await runPlan(gpu, plan, [a, wordsOf(packed)], m * n);
  expect(deviation(c, reference("NT", size, a, decode(format, packed)), k + roundings(format)), `${m} x ${n}, k ${k}`).toBe(null);
}

describe.each(FAMILIES)("products of few rows on %s", (_, profile) => {
  it.each(ROWS)("%i of f32, k of whole fours and others, more or fewer than the lanes have", async (m) => {
    for (const [n, k] of [[1, 1], [7, 64], [9, 35], [33, 300], [257, 131], [1030, 36], [1027, 21]]) await check(profile(gpu), { batch: 1, m, n, k });
  });

  it.each(["f16", "bf16", "q8_0", "q4_0", "q4_1"] as const)("of %s", async (format) => {
    for (const m of ROWS) for (const [n, k] of [[7, 64], [33, 288], [1027, 32]]) await checkStored(profile(gpu), format, m, n, k);
    if (format === "f16" || format === "bf16") for (const m of [1, 2, 7]) await checkStored(profile(gpu), format, m, 35, 44);
  });

  it.each([
    [1, 33, 20],
    [2, 18, 33],
    [7, 9, 68],
  ])("batches of %i x %i, k %i, each operand shared or not, from anywhere", async (m, n, k) => {
    for (const strideA of [m * k, 0, m * k + 1]) {
      for (const strideB of [k * n, 0, k * n + 2]) await check(profile(gpu), { batch: 3, m, n, k, strideA, strideB });
    }
  });

  it("writes zeros for k = 0 and nothing for an empty result", async () => {
    expect([...(await runPlan(gpu, gemmPlan(profile(gpu), "NT", { batch: 2, m: 1, n: 5, k: 0 }), [noise(0, 1), noise(0, 1)], 10))]).toEqual(new Array(10).fill(0));
    for (const [batch, m, n] of [[0, 1, 3], [2, 0, 3], [2, 1, 0]]) {
      const plan = gemmPlan(profile(gpu), "NT", { batch, m, n, k: 64 });
      expect((await runPlan(gpu, plan, [noise(batch * m * 64, 1), noise(batch * n * 64, 2)], 0)).length).toBe(0);
    }
  });

  it.each([
    [2, 18, 35],
    [2, 17, 36],
    [5, 7, 131],
  ])("keeps NaN to its row and infinity to its column: %i x %i, k %i", async (m, n, k) => {
    const [row, column, last] = [1, 2, k - 1];
    const [a, b] = [noise(m * k, 1), noise(k * n, 2)];
    a[row * k + last] = Number.NaN;
    b[column * k + last] = Number.POSITIVE_INFINITY;
    const c = await runPlan(gpu, gemmPlan(profile(gpu), "NT", { batch: 1, m, n, k }), [a, b], m * n);
    expect(c.findIndex((x, i) => Number.isFinite(x) === (Math.floor(i / n) === row || i % n === column))).toBe(-1);
    expect(c[row * n]).toBeNaN();
  });
});

it("puts lanes along k for few rows of NT, and more columns in a workgroup where there are enough", () => {
  const label = (profile: KernelProfile, m: number, n: number, k = 576): string => gemmPlan(profile, "NT", { batch: 1, m, n, k }).kernel.label;
  expect(label(GPU_ADAPTER, 1, 576)).toBe("gemm NT few rows 1x2");
  expect(label(GPU_ADAPTER, 3, 1024, 575)).toBe("gemm NT few rows 4x4 ragged");
  expect(label({ ...GPU_ADAPTER, subgroupSize: null }, 8, 49152)).toBe("gemm NT few rows 8x4 tree");
  expect(label(GPU_ADAPTER, 9, 576)).toBe("gemm NT tile 32x32x16");
  const lavapipe = { isSoftware: true, subgroupSize: 8, subgroups: true };
  expect(label(lavapipe, 1, 576)).toBe("gemm NT few rows 1x4");
  expect(label({ ...lavapipe, subgroups: false }, 1, 576)).toBe("gemm NT few rows 1x4 tree");
  for (const [m, k] of [[2, 576], [1, 15]]) expect(label(lavapipe, m, 576, k)).toMatch("NT subgroup 8x32");
  for (const mode of ["NN", "TN"] as const) expect(gemmPlan(GPU_ADAPTER, mode, { batch: 1, m: 1, n: 64, k: 64 }).kernel.label).toMatch("tile");
});
