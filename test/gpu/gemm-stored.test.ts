import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { storedGemmPlan } from "../../src/gpu/gemm.ts";
import type { StoredFormat } from "../../src/tensor/dtype.ts";
import type { KernelPlan } from "../../src/tensor/op-spec.ts";
import { decode, encode } from "../../src/tensor/stored-format.ts";
import { openTestGpu } from "../driver.ts";
import { noise, runPlan } from "./kernel-harness.ts";
import { deviation, FAMILIES, pack, reference, roundings, wordsOf } from "./products.ts";

const FORMATS: readonly StoredFormat[] = ["f16", "bf16", "q8_0", "q4_0", "q4_1"];

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

function planOf(...args: Parameters<typeof storedGemmPlan>): KernelPlan {
  const plan = storedGemmPlan(...args);
  if (!plan) throw new Error("the operand would be decoded first");
  return plan;
}

/** With rows of B in whole blocks: C and A aligned or not. */
const SIZES = {
  NT: [[1, 1, 32], [8, 7, 64], [17, 33, 96], [40, 64, 160], [3, 257, 32]],
  NN: [[1, 32, 1], [8, 64, 7], [17, 96, 33], [40, 160, 64], [3, 32, 257]],
} as const;

describe.each(FAMILIES)("gemm of a stored operand on %s", (_, profile) => {
  describe.each(FORMATS)("%s", (format) => {
    it.each(["NT", "NN"] as const)("is the product of the decoded one, %s", async (mode) => {
      for (const [m, n, k] of SIZES[mode]) {
        const packed = pack(format, noise(n * k, 2));
        const a = noise(m * k, 1);
        const c = await runPlan(gpu, planOf(format, profile(gpu), mode, { m, n, k }), [a, wordsOf(packed)], m * n);
        const product = reference(mode, { batch: 1, m, n, k }, a, decode(format, packed));
        expect(deviation(c, product, k + roundings(format)), `${m} x ${n} x ${k}`).toBe(null);
      }
    });

    it("zeros for k = 0, and nothing for an empty result", async () => {
      const zeros = await runPlan(gpu, planOf(format, profile(gpu), "NN", { m: 2, n: 32, k: 0 }), [noise(0, 1), noise(0, 1)], 64);
      expect([...zeros]).toEqual(new Array(64).fill(0));
      const words = wordsOf(pack(format, noise(64, 2)));
      const empty = await runPlan(gpu, planOf(format, profile(gpu), "NT", { m: 0, n: 2, k: 32 }), [noise(0, 1), words], 0);
      expect(empty.length).toBe(0);
    });
  });

  it.each(["f16", "bf16"] as const)("takes every finite number of %s that is not subnormal in f32", async (format) => {
    const n = 0x4000;
    const all = decode(format, Uint16Array.from({ length: 4 * n }, (_, half) => half));
    const values = all.map((value) => (Number.isFinite(value) && Math.abs(value) >= 2 ** -126 ? value : 0));
    const unit = Float32Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 1 : 0));
    const c = await runPlan(gpu, planOf(format, profile(gpu), "NT", { m: 4, n, k: 4 }), [unit, wordsOf(encode(format, values))], 4 * n);
    expect(c.findIndex((x, i) => x !== values[(i % n) * 4 + Math.floor(i / n)])).toBe(-1);
  });

  it("keeps infinity to its column", async () => {
    const [m, n, k, column] = [5, 7, 8, 3];
    const values = noise(n * k, 2);
    values[column * k + 2] = Number.POSITIVE_INFINITY;
    for (const format of ["f16", "bf16"] as const) {
      const c = await runPlan(gpu, planOf(format, profile(gpu), "NT", { m, n, k }), [noise(m * k, 1), wordsOf(pack(format, values))], m * n);
      expect(c.findIndex((x, i) => Number.isFinite(x) === (i % n === column))).toBe(-1);
    }
  });

  it("leaves rows of B that are not whole fours to be decoded first", () => {
    expect(storedGemmPlan("bf16", profile(gpu), "NT", { m: 4, n: 4, k: 6 })).toBe(null);
    expect(storedGemmPlan("bf16", profile(gpu), "NN", { m: 4, n: 6, k: 4 })).toBe(null);
    expect(storedGemmPlan("bf16", profile(gpu), "NN", { m: 4, n: 4, k: 6 })).not.toBe(null);
  });
});
