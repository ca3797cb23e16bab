import { createHash } from "node:crypto";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Engine } from "../../src/cpu/engine.ts";
import { allParts } from "../../src/cpu/kernels.ts";
import { packedGemm } from "../../src/cpu/packed-gemm.ts";
import { threadCount } from "../../src/cpu/threads.ts";
import { adamwPieces } from "../../src/cpu/wasm/adamw-kernel.ts";
import { swigluElements } from "../../src/cpu/wasm/elementwise-kernel.ts";
import { ArgumentError } from "../../src/tensor/errors.ts";
import { type Heap, sharedHeap } from "../../src/tensor/heap.ts";

const SHAPE = { tileColumns: 8, relaxed: false } as const;

const engineOf = (threads: number): Engine => {
  const engine = Engine.create(sharedHeap() as Heap, SHAPE, false, allParts(), threads);
  if (!engine) throw new Error("this engine has no WebAssembly SIMD");
  return engine;
};

const values = (length: number, seed: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => ((i * 0.6180339887 + seed * 0.37) % 1) - 0.5);

/** The bits of a product and of an elementwise kernel, both of several units. */
function compute(engine: Engine): string {
  const [m, n, k] = [203, 190, 310];
  const [a, b, c] = [values(m * k, 1), values(k * n, 2), values(m * n, 3)];
  packedGemm(engine)("NT", m, n, k, a, b, c, true);
  const count = 200_001;
  const y = new Float32Array(count);
  const options = { units: Math.ceil(count / 16_384), cost: 1e6 };
  expect(engine.launch(swigluElements, { gate: values(count, 4), up: values(count, 5), y, count }, options)).toBe(true);
  return createHash("sha256").update(c).update(y).digest("hex");
}

describe("threads", () => {
  it("give the same bits whatever their number, at first and when all are up", async () => {
    const expected = compute(engineOf(1));
    for (const threads of [2, 4]) {
      const engine = engineOf(threads);
      expect(engine.threads).toBe(threads);
      expect(compute(engine)).toBe(expected);
      await new Promise((resolve) => setTimeout(resolve, 400));
      for (let turn = 0; turn < 20; turn++) expect(compute(engine)).toBe(expected);
    }
  });

  it("wake up again after they have slept", async () => {
    const engine = engineOf(3);
    const expected = compute(engine);
    for (let turn = 0; turn < 5; turn++) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      expect(compute(engine)).toBe(expected);
    }
  });

  it("report a kernel that fails, and go on", async () => {
    const engine = engineOf(3);
    const expected = compute(engine);
    await new Promise((resolve) => setTimeout(resolve, 400));
    // A table whose rows point beyond the memory.
    const table = new Int32Array(6 * 64).fill(-4096);
    const numbers = { beta1: 0, rest1: 0, beta2: 0, rest2: 0, keep: 0, step: 0, root: 1, eps: 1 };
    expect(() => engine.launch(adamwPieces, { table, ...numbers }, { units: 64, cost: 1e6 })).toThrow();
    expect(compute(engine)).toBe(expected);
  });
});

describe("POLARGRAD_THREADS", () => {
  afterEach(() => vi.unstubAllEnvs());

  it("sets how many there are", () => {
    vi.stubEnv("POLARGRAD_THREADS", "3");
    expect(threadCount()).toBe(3);
    vi.stubEnv("POLARGRAD_THREADS", "");
    expect(threadCount()).toBeGreaterThanOrEqual(1);
  });

  it.each(["0", "1.5", "many", "1000"])("refuses %s", (value) => {
    vi.stubEnv("POLARGRAD_THREADS", value);
    expect(threadCount).toThrow(ArgumentError);
    expect(threadCount).toThrow(`the CPU: POLARGRAD_THREADS must be a whole number from 1 to 256, got "${value}"`);
  });
});
