import { afterEach, describe, expect, it, vi } from "vitest";
import { add, full, mul, sum, tensor, tidy, zeros } from "../../src/ops/index.ts";
import { giveArray, takeArray } from "../../src/tensor/array-pool.ts";
import { CpuStorage } from "../../src/tensor/cpu-storage.ts";
import { allocateBlock, type Block, freeBlock, heapExtent, isInHeap, sharedHeap } from "../../src/tensor/heap.ts";
import { Parameter } from "../../src/tensor/parameter.ts";

const pages = (): number => (sharedHeap()?.memory.buffer.byteLength ?? 0) / 65536;

describe("blocks of the heap", () => {
  it("never overlap, and are put together again", () => {
    const live: Block[] = [];
    let state = 7;
    const random = (limit: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    for (let turn = 0; turn < 4000; turn++) {
      if (live.length > 40 || (live.length > 0 && random(2) === 0)) {
        freeBlock(live.splice(random(live.length), 1)[0]);
        continue;
      }
      const bytes = random(20_000);
      const block = allocateBlock(bytes) as Block;
      expect(block.start % 64).toBe(0);
      expect(block.bytes).toBeGreaterThanOrEqual(bytes);
      for (const other of live) {
        const isApart = block.start >= other.start + other.bytes || other.start >= block.start + block.bytes;
        expect(isApart).toBe(true);
      }
      live.push(block);
    }
    for (const block of live) freeBlock(block);
    const whole = allocateBlock(1_000_000) as Block;
    freeBlock(whole);
    expect(allocateBlock(900_000)?.start).toBe(whole.start);
  });
});

describe("arrays in the heap", () => {
  it("are used again for the same size, and their blocks for others", () => {
    const first = takeArray("f32", 5000);
    giveArray("f32", first);
    expect(takeArray("f32", 5000)).toBe(first);
    giveArray("f32", first);
    expect(takeArray("i32", 5000).array).toBeInstanceOf(Int32Array);
  });

  it("of many megabytes are free for other sizes at once", () => {
    const rest = takeArray("f32", 32 * 1024 * 1024);
    const large = takeArray("f32", 8 * 1024 * 1024);
    const extent = heapExtent();
    giveArray("f32", large);
    const halves = [takeArray("f32", 4_000_000), takeArray("f32", 4_000_001)];
    expect(heapExtent()).toBeLessThanOrEqual(extent);
    for (const one of [rest, ...halves]) giveArray("f32", one);
  });

  it("stay within what the shapes of a step need, also when the shapes change", () => {
    const step = (n: number): void =>
      tidy(() => {
        const x = full([n, 128], 0.5, { requiresGrad: true });
        sum(mul(add(x, x), x)).backward();
        x.grad?.dispose();
      });
    for (let turn = 0; turn < 30; turn++) step(100 + turn);
    const before = pages();
    for (let turn = 0; turn < 300; turn++) step(100 + (turn % 30));
    expect(pages()).toBe(before);
  });

  it("hold parameters, and are not what data() and dataSync() give", async () => {
    const parameter = new Parameter(tensor([1, 2, 3]));
    expect(isInHeap((parameter.storage as CpuStorage).data)).toBe(true);
    expect((await parameter.data()).buffer).toBeInstanceOf(ArrayBuffer);
    const exposed = parameter.dataSync();
    expect(exposed.buffer).toBeInstanceOf(ArrayBuffer);
    exposed[1] = 7;
    expect([...add(parameter, 0).dataSync()], "dataSync() is the elements, not a copy").toEqual([1, 7, 3]);
    expect(parameter.dataSync()).toBe(exposed);
  });

  it("take over a checkpoint's array when it becomes a parameter", () => {
    const storage = new CpuStorage("f32", Float32Array.of(1, 2));
    expect(isInHeap(storage.data)).toBe(false);
    storage.settle();
    expect(isInHeap(storage.data)).toBe(true);
    expect([...storage.data]).toEqual([1, 2]);
    storage.release();
  });

  it("are ordinary where only the garbage collector would free them", () => {
    const kept = Array.from({ length: 20 }, () => zeros([4 * 1024 * 1024]));
    const places = kept.map(({ storage }) => isInHeap((storage as CpuStorage).data));
    expect(places.slice(0, 2)).toEqual([true, true]);
    expect(places.at(-1)).toBe(false);
    const inside = tidy(() => isInHeap((zeros([4 * 1024 * 1024]).storage as CpuStorage).data));
    expect(inside, "in a scope").toBe(true);
    for (const one of kept) one.dispose();
  });

  it("of a dropped tensor are freed by the garbage collector", async () => {
    const { setFlagsFromString } = await import("node:v8");
    setFlagsFromString("--expose-gc");
    const { runInNewContext } = await import("node:vm");
    const collect = runInNewContext("gc") as () => void;
    const before = pages();
    for (let turn = 0; turn < 40; turn++) {
      zeros([8 * 1024 * 1024]);
      collect();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(pages() - before).toBeLessThan((6 * 32 * 1024 * 1024) / 65536);
  });
});

describe("without SharedArrayBuffer", () => {
  afterEach(() => vi.unstubAllGlobals());

  it("kernels copy, and compute the same", async () => {
    vi.stubGlobal("SharedArrayBuffer", undefined);
    vi.resetModules();
    const heap = await import("../../src/tensor/heap.ts");
    const ops = await import("../../src/ops/index.ts");
    const { cpuKernels } = await import("../../src/cpu/launch.ts");
    expect(heap.sharedHeap()?.shared).toBe(false);
    expect(cpuKernels().threads).toBe(1);
    const [x, weight] = [ops.full([300, 200], 0.5), ops.full([100, 200], 2)];
    expect(heap.isInHeap((x.storage as CpuStorage).data)).toBe(false);
    const y = ops.linear(x, weight).dataSync();
    expect(y.every((value: number) => value === 200)).toBe(true);
  });
});
