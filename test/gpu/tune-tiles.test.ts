import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { TILES } from "../../src/gpu/gemm-tile-choice.ts";
import { measureTiles, type Stopwatch } from "../../src/gpu/tune-tiles.ts";
import { openTestGpu } from "../driver.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());
afterEach(() => void vi.restoreAllMocks());

const SIDE = 68;

/** A GPU on which products take these times, whatever they take here. */
const taking =
  (times: Readonly<Record<string, number>>): Stopwatch =>
  async (run, name) => {
    await run();
    return times[name] ?? 100;
  };

describe("measureTiles", () => {
  it("keeps of each size the faster depth, where it beats all smaller sizes", async () => {
    const live = gpu.ledger.liveBuffers;
    const measured = (times: Record<string, number>) => measureTiles(gpu, taking(times), SIDE);
    expect(await measured({ "64x64x16": 9, "64x64x8": 8, "64x32x16": 11, "64x32x8": 12, "32x32x16": 20, "32x32x8": 20 })).toEqual(["64x64x8", "64x32x16", "32x32x16"]);
    expect(await measured({ "64x64x16": 9, "64x64x8": 8, "64x32x16": 5, "64x32x8": 6, "32x32x16": 7, "32x32x8": 20 })).toEqual(["64x32x16", "32x32x16"]);
    expect(await measured({ "64x64x16": 9, "64x64x8": 8, "64x32x16": 4.9, "64x32x8": 6, "32x32x16": 7, "32x32x8": 5 })).toEqual(["32x32x8"]);
    expect(gpu.ledger.liveBuffers).toBe(live);
  });

  it("measures with the clock, in turns", async () => {
    const names = await measureTiles(gpu, undefined, SIDE);
    expect(names.at(-1)).toMatch(/^32x32x(8|16)$/);
    expect(names.every((name) => TILES.has(name))).toBe(true);
  });

  it("leaves out what does not compile or is wrong, however fast", async () => {
    const [compile, dispatch] = [gpu.stream.compile.bind(gpu.stream), gpu.stream.dispatch.bind(gpu.stream)];
    vi.spyOn(gpu.stream, "compile").mockImplementation(async (kernel) => {
      if (kernel.label.includes("64x64x16")) throw new Error("the driver refuses it");
      return compile(kernel);
    });
    vi.spyOn(gpu.stream, "dispatch").mockImplementation((kernel, buffers, params, grid) => {
      if (!kernel.label.includes("64x64x8")) dispatch(kernel, buffers, params, grid);
    });
    const times = { "64x64x16": 1, "64x64x8": 1, "64x32x16": 2, "32x32x16": 3 };
    expect(await measureTiles(gpu, taking(times), SIDE)).toEqual(["64x32x16", "32x32x16"]);
  });

  it("says so when none is right", async () => {
    vi.spyOn(gpu.stream, "dispatch").mockImplementation(() => undefined);
    await expect(measureTiles(gpu, taking({}), SIDE)).rejects.toThrow(/no kernel of 64x64x16, .* computes a right product on /);
  });
});
