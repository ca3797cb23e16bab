import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { type GemmSize, gemmDispatch, gemmPlan } from "../../src/gpu/gemm.ts";
import { type TileKernelShape, tileKernel } from "../../src/gpu/gemm-tile.ts";
import { decode } from "../../src/tensor/stored-format.ts";
import { openTestGpu } from "../driver.ts";
import { noise, runPlan } from "./kernel-harness.ts";
import { deviation, GPU_ADAPTER, MODES, pack, reference, roundings, wordsOf } from "./products.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

async function check(shape: TileKernelShape, size: GemmSize): Promise<void> {
  const { mode, format } = shape;
  const { batch, m, n, k, strideA = m * k, strideB = k * n } = size;
  const a = noise(m * k + strideA * (batch - 1), 1);
  const values = noise(k * n + strideB * (batch - 1), 2);
  const packed = format === "f32" ? null : pack(format, values);
  const b = packed && format !== "f32" ? decode(format, packed) : values;
  const plan = gemmDispatch(tileKernel(shape), size);
  const c = await runPlan(gpu, plan, [a, packed ? wordsOf(packed) : values], batch * m * n);
  const where = `${plan.kernel.label} ${JSON.stringify(size)}`;
  expect(deviation(c, reference(mode, size, a, b), k + roundings(format)), where).toBe(null);
}

/** Threads, own rows and columns, and depth; 4 x 4 is what `gemm.test.ts` runs for a GPU. */
const SHAPES = [
  [8, 8, 8, 4, 16],
  [8, 8, 8, 8, 16],
  [16, 8, 4, 8, 8],
] as const;

describe.each(SHAPES)("a tile of %i x %i threads with %i x %i each, %i deep", (threadsX, threadsY, ownRows, ownColumns, depth) => {
  const tile = { threadsX, threadsY, ownRows, ownColumns, depth };

  it.each(MODES)("multiplies whole fours and others, over several tiles and in parts of one: %s", async (mode) => {
    for (const [m, n, k] of [[132, 68, 44], [4, 8, 4], [64, 132, 32]]) await check({ ...tile, mode, format: "f32", aligned: true }, { batch: 1, m, n, k });
    for (const [m, n, k] of [[131, 67, 43], [1, 1, 1], [64, 64, 33], [5, 130, 16]]) {
      await check({ ...tile, mode, format: "f32", aligned: false }, { batch: 1, m, n, k });
    }
    await check({ ...tile, mode, format: "f32", aligned: true }, { batch: 3, m: 8, n: 36, k: 20, strideB: 0 });
    await check({ ...tile, mode, format: "f32", aligned: false }, { batch: 3, m: 7, n: 35, k: 19, strideA: 0 });
  });

  it("decodes B", async () => {
    await check({ ...tile, mode: "NT", format: "bf16", aligned: true }, { batch: 1, m: 68, n: 100, k: 36 });
    await check({ ...tile, mode: "NN", format: "q4_0", aligned: false }, { batch: 1, m: 35, n: 96, k: 67 });
  });
});

it("takes large tiles for large products, where the GPU has the registers", () => {
  const label = (vendor: string | undefined, m: number, n: number): string =>
    gemmPlan({ ...GPU_ADAPTER, ...(vendor === undefined ? {} : { vendor }) }, "NT", { batch: 1, m, n, k: 576 }).kernel.label;
  for (const vendor of ["nvidia", "amd"]) {
    expect(label(vendor, 1024, 1024)).toBe("gemm NT tile 64x64x16");
    expect(label(vendor, 512, 576)).toBe("gemm NT tile 64x32x16");
    expect(label(vendor, 256, 576)).toBe("gemm NT tile 32x32x16");
  }
  for (const vendor of ["apple", "intel", "", undefined]) expect(label(vendor, 4096, 4096)).toBe("gemm NT tile 32x32x16");
});
