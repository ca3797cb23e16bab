import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { gathered, inArena, runsOf, zeroArena } from "../../src/gpu/arena.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { GpuStorage } from "../../src/gpu/gpu-storage.ts";
import { openTestGpu } from "../driver.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const release = (storages: readonly GpuStorage[]): void => {
  for (const storage of storages) storage.release();
};

/** A buffer of the pool that holds other numbers than 0. */
function dirty(floats: number): void {
  GpuStorage.upload(gpu, "f32", new Float32Array(floats).fill(7)).release();
}

describe("an arena", () => {
  it("holds zeros, in buffers within the limit, each until its last storage is released", async () => {
    const { live } = gpu.pool.counts;
    dirty(256);
    const limit = vi.spyOn(gpu.pool, "largest", "get").mockReturnValue(1024);
    const lengths = [65, 64, 3, 0, 200, 1, 300];
    const storages = zeroArena(gpu, lengths, "test");
    limit.mockRestore();
    // In slots of 256 bytes: 2 + 1 + 1, 1 (of nothing), 4, 1, and one that is larger than the limit by itself.
    expect(storages.map(({ buffer }) => [buffer.offset, buffer.capacity])).toEqual([
      [0, 512], [512, 256], [768, 256], [0, 256], [0, 1024], [0, 256], [0, 1280],
    ]);
    expect(gpu.pool.counts.live).toBe(live + 5);
    for (const [i, storage] of storages.entries()) expect(await storage.read()).toEqual(new Float32Array(lengths[i]));
    release(storages.slice(0, 2));
    expect(gpu.pool.counts.live).toBe(live + 5);
    release(storages.slice(2));
    expect(gpu.pool.counts.live).toBe(live);
    expect(storages[0].buffer.live).toBe(false);
  });

  it("keeps what is written, copied and cleared in one part apart from the others", async () => {
    const parts = zeroArena(gpu, [4, 4, 4], "test");
    const sources = [1, 2, 3].map((value) => GpuStorage.upload(gpu, "f32", new Float32Array(4).fill(value)));
    for (const [i, source] of sources.entries()) gpu.stream.copy(source.buffer, parts[i].buffer, 16);
    gpu.stream.write(parts[2].buffer, Float32Array.of(8, 9), 8);
    gpu.stream.clear(parts[1].buffer, 4, 4);
    const copies = gathered(gpu, [parts[2], parts[1]], "test");
    const values = await Promise.all([...parts, ...copies].map((storage) => storage.read()));
    expect(values.map((value) => [...value])).toEqual([
      [1, 1, 1, 1], [2, 0, 2, 2], [3, 3, 8, 9], [3, 3, 8, 9], [2, 0, 2, 2],
    ]);
    expect(() => gpu.stream.copy(parts[0].buffer, parts[1].buffer, 16)).toThrow("another buffer than the source");
    expect(() => gpu.stream.clear(parts[0].buffer, 0, 32)).toThrow("within the 16 bytes");
    release([...parts, ...copies, ...sources]);
  });

  it("is seen as runs of rows that lie side by side in every column", () => {
    const [a, b] = [zeroArena(gpu, [64, 1, 64, 64], "test"), zeroArena(gpu, [64, 1, 64, 64], "test")];
    const plain = GpuStorage.allocate(gpu, "f32", 64);
    const floats = (...columns: GpuStorage[][]): number[] => runsOf(columns).map((run) => run.floats);
    expect(floats(a)).toEqual([256]);
    expect(floats(a, b)).toEqual([256]);
    expect(floats([a[0], a[2], a[3]], b.slice(0, 3))).toEqual([64, 128]);
    expect(floats([a[1], a[0]])).toEqual([64, 64]);
    expect(floats([a[0], b[1]])).toEqual([64, 64]);
    const [run] = runsOf([a.slice(1, 3), b.slice(2, 4)]);
    expect(run.buffers.map(({ id, offset, capacity }) => [id, offset, capacity])).toEqual([
      [a[0].buffer.id, 256, 512], [b[0].buffer.id, 512, 512],
    ]);
    expect([plain, ...a].map(inArena)).toEqual([false, true, true, true, true]);
    release([...a, ...b, plain]);
  });
});
