import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sizeClass } from "../../src/gpu/buffer-pool.ts";
import { type Gpu, probeAdapters } from "../../src/gpu/device.ts";
import { GpuStorage } from "../../src/gpu/gpu-storage.ts";
import { Waiter } from "../../src/gpu/wait.ts";
import { openTestGpu } from "../driver.ts";
import { addValue, doubleAndAdd, fill, params } from "./kernels.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const N = 100;
const GRID = [2, 1, 1] as const;
const upload = (data: Float32Array) => GpuStorage.upload(gpu, "f32", data);
const zeros = () => upload(new Float32Array(N));

describe("command stream", () => {
  it("runs dispatches in the order of the calls", async () => {
    const y = zeros();
    for (const value of [1, 2, 3]) gpu.stream.dispatch(doubleAndAdd, [y.buffer], params(N, value), GRID);
    expect(await y.read()).toEqual(new Float32Array(N).fill(1 * 4 + 2 * 2 + 3));
    y.release();
  });

  it("keeps dispatches, copies and clears in order within one submit", async () => {
    const x = upload(Float32Array.from({ length: N }, (_, i) => i));
    const [y, z] = [zeros(), zeros()];
    const before = gpu.stream.counts.submits;
    gpu.stream.dispatch(addValue, [x.buffer, y.buffer], params(N, 1), GRID);
    gpu.stream.copy(y.buffer, z.buffer, 4 * N);
    gpu.stream.clear(y.buffer);
    gpu.stream.dispatch(doubleAndAdd, [y.buffer], params(N, 7), GRID);
    gpu.stream.copy(z.buffer, y.buffer, 8, 4, 0);
    expect(await z.read()).toEqual(Float32Array.from({ length: N }, (_, i) => i + 1));
    expect((await y.read()).slice(0, 4)).toEqual(Float32Array.of(2, 3, 7, 7));
    expect(gpu.stream.counts.submits - before).toBe(2); // one for each read
    for (const storage of [x, y, z]) storage.release();
  });

  it("flushes when the parameter ring is full: 1000 dispatches keep their own parameters", async () => {
    const y = upload(new Float32Array(1));
    const before = gpu.stream.counts.submits;
    for (let i = 0; i < 1000; i++)
      gpu.stream.dispatch(addValue, [y.buffer, scratch[i % 2].buffer], params(1, i), [1, 1, 1]);
    expect(gpu.stream.counts.submits - before).toBe(Math.floor(1000 / 256));
    const all = GpuStorage.allocate(gpu, "f32", 1);
    gpu.stream.clear(all.buffer);
    for (let i = 1; i <= 600; i++) gpu.stream.dispatch(addOnto, [all.buffer], params(1, i), [1, 1, 1]);
    expect(await all.read()).toEqual(Float32Array.of((600 * 601) / 2));
    expect(await scratch[1].read()).toEqual(Float32Array.of(999));
    for (const storage of [y, all]) storage.release();
  });

  const addOnto = { ...doubleAndAdd, label: "addOnto", code: doubleAndAdd.code.replace("* 2", "") };
  let scratch: [GpuStorage, GpuStorage];
  beforeAll(() => {
    scratch = [GpuStorage.allocate(gpu, "f32", 1), GpuStorage.allocate(gpu, "f32", 1)];
  });

  it("does not let a write overtake recorded uses of the buffer, also after it was recycled", async () => {
    const x = upload(new Float32Array(N).fill(1));
    const y = zeros();
    gpu.stream.dispatch(addValue, [x.buffer, y.buffer], params(N, 10), GRID);
    const { id } = x.buffer;
    x.release();
    const next = upload(new Float32Array(N).fill(100));
    expect(next.buffer.id).toBe(id);
    gpu.stream.write(next.buffer, Float32Array.of(5), 4);
    expect(await y.read()).toEqual(new Float32Array(N).fill(11));
    expect((await next.read()).slice(0, 3)).toEqual(Float32Array.of(100, 5, 100));
    for (const storage of [y, next]) storage.release();
  });

  it("does not flush for a write to a buffer that no recorded command uses", () => {
    const [x, y] = [zeros(), zeros()];
    gpu.stream.dispatch(fill, [x.buffer], params(N, 1), GRID);
    const before = gpu.stream.counts.submits;
    gpu.stream.write(y.buffer, new Float32Array(N));
    expect(gpu.stream.counts.submits).toBe(before);
    for (const storage of [x, y]) storage.release();
  });

  it("caches pipelines by code and bind groups by buffers", () => {
    const [x, y] = [zeros(), zeros()];
    gpu.stream.dispatch(addValue, [x.buffer, y.buffer], params(N, 1), GRID);
    const { pipelines, bindGroups } = gpu.stream.counts;
    gpu.stream.dispatch({ ...addValue }, [x.buffer, y.buffer], params(N, 2), GRID);
    expect(gpu.stream.counts).toMatchObject({ pipelines, bindGroups });
    for (const storage of [x, y]) storage.release();
    gpu.pool.trim();
    expect(gpu.stream.counts.bindGroups).toBeLessThan(bindGroups);
  });

  it("serves several reads at once", async () => {
    const storages = [1, 2, 3, 4].map((value) => upload(new Float32Array(N).fill(value)));
    const first = (await Promise.all(storages.map((storage) => storage.read()))).map(([value]) => value);
    expect(first).toEqual([1, 2, 3, 4]);
    for (const storage of storages) storage.release();
  });

  it("copies shared memory and sizes that are no multiple of 4", async () => {
    const shared = new Uint8Array(new SharedArrayBuffer(6)).fill(7);
    const buffer = gpu.pool.acquire(6);
    gpu.stream.write(buffer, shared);
    expect(new Uint8Array(await gpu.stream.read(buffer))).toEqual(new Uint8Array(6).fill(7));
    gpu.pool.release(buffer);
  });

  it("does nothing for an empty grid, and reads empty storages", async () => {
    const y = GpuStorage.upload(gpu, "i32", new Int32Array(0));
    const before = gpu.stream.counts.dispatches;
    gpu.stream.dispatch(fill, [y.buffer], params(0, 1), [0, 1, 1]);
    expect(gpu.stream.counts.dispatches).toBe(before);
    expect(await y.read()).toEqual(new Int32Array(0));
    y.release();
  });
});

describe("pool and ledger", () => {
  it("has size classes that hold what was asked and waste at most a quarter", () => {
    for (let bytes = 1; bytes < 2 ** 28; bytes = Math.ceil(bytes * 1.07)) {
      const capacity = sizeClass(bytes);
      expect(capacity).toBeGreaterThanOrEqual(bytes);
      expect(capacity % 256).toBe(0);
      if (bytes > 4096) expect(capacity).toBeLessThan(bytes * 1.32);
    }
  });

  it("leases a released buffer of up to twice the size before it makes one", () => {
    const { pool } = gpu;
    pool.trim();
    const kept = [64, 200, 100].map((kibibytes) => pool.acquire(1024 * kibibytes));
    for (const buffer of kept) pool.release(buffer);
    const { created } = pool.counts;
    const [fits, other] = [pool.acquire(1024 * 60), pool.acquire(1024 * 60)];
    expect([fits.id, other.id]).toEqual([kept[0].id, kept[2].id]);
    expect([fits.capacity, other.capacity]).toEqual([kept[0].capacity, kept[2].capacity]);
    expect(pool.counts.created).toBe(created);
    const small = pool.acquire(1024 * 60);
    expect(pool.counts.created).toBe(created + 1);
    for (const buffer of [fits, other, small]) pool.release(buffer);
  });

  it("creates no buffer in steady state", async () => {
    const step = async () => {
      const storages = [10, 100, 1000, 1000, 70_000].map((n) => GpuStorage.allocate(gpu, "f32", n));
      for (const { buffer, length } of storages)
        gpu.stream.dispatch(fill, [buffer], params(length, 1), [20, 1, 1]);
      await storages[0]?.read();
      for (const storage of storages) storage.release();
    };
    await step();
    const { pool, ledger } = gpu;
    const before = {
      pool: pool.counts,
      live: ledger.live,
      pooled: ledger.pooled,
      groups: gpu.stream.counts.bindGroups,
    };
    for (let i = 0; i < 20; i++) await step();
    expect({
      pool: pool.counts,
      live: ledger.live,
      pooled: ledger.pooled,
      groups: gpu.stream.counts.bindGroups,
    }).toEqual(before);
  });

  it("counts references of a storage", () => {
    const live = gpu.ledger.live;
    const x = zeros();
    x.retain();
    x.release();
    expect(gpu.ledger.live).toBeGreaterThan(live);
    x.release();
    expect(gpu.ledger.live).toBe(live);
    expect(() => x.release()).toThrow(/released too often/);
  });

  it("trims what waits in the pool, also while recorded commands use it", async () => {
    const [x, y] = [upload(new Float32Array(N).fill(3)), zeros()];
    gpu.stream.dispatch(addValue, [x.buffer, y.buffer], params(N, 1), GRID);
    x.release();
    gpu.pool.trim();
    expect(gpu.ledger.pooled).toBe(0);
    expect(gpu.pool.counts.free).toBe(0);
    expect(await y.read()).toEqual(new Float32Array(N).fill(4));
    y.release();
  });
});

describe("waiting", () => {
  it("sleeps between polls when throttled", async () => {
    const cpuMs = async (waiter: Waiter) => {
      const start = process.cpuUsage();
      let done = false;
      const spinning = (async () => {
        while (!done) await new Promise((resolve) => setImmediate(resolve));
      })();
      await waiter.for(new Promise((resolve) => setTimeout(resolve, 150)));
      done = true;
      await spinning;
      const { user, system } = process.cpuUsage(start);
      return (user + system) / 1000;
    };
    const plain = await cpuMs(new Waiter(false));
    const throttled = await cpuMs(new Waiter(true));
    expect(throttled).toBeLessThan(plain / 2);
  });

  it("passes values and rejections on, and serves waits one after the other and at once", async () => {
    const waiter = new Waiter(true);
    const later = (value: number) => new Promise<number>((resolve) => setTimeout(() => resolve(value), 5));
    expect(await Promise.all([waiter.for(later(1)), waiter.for(later(2))])).toEqual([1, 2]);
    expect(await waiter.for(later(3))).toBe(3);
    await expect(waiter.for(Promise.reject(new Error("no")))).rejects.toThrow("no");
  });
});

describe("opening", () => {
  it("hands out one GPU while it is healthy", async () => {
    expect(await openTestGpu()).toBe(gpu);
  });

  it("describes the adapter", async () => {
    const { profile } = gpu;
    const { adapters, problem } = await probeAdapters();
    expect(problem).toBeNull();
    expect(adapters.map((adapter) => adapter.description)).toContain(profile.description);
    expect(profile.limits.maxStorageBufferBindingSize).toBeGreaterThanOrEqual(2 ** 27);
    if (profile.subgroupSize !== null) expect(profile.subgroupSize).toBe(profile.subgroupMinSize);
  });
});
