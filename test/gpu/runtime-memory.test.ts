import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { GpuMemoryError } from "../../src/gpu/errors.ts";
import { openTestGpu } from "../driver.ts";
import { caught } from "./caught.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

const MIB = 1024 * 1024;

describe("memory", () => {
  it("refuses over the budget 1000 times and stays as it was", () => {
    const { ledger, pool } = gpu;
    const weights = pool.acquire(3 * MIB, "weights");
    pool.trim();
    const state = { live: ledger.live, pooled: ledger.pooled, counts: pool.counts };
    const { budget } = ledger;
    ledger.budget = ledger.live + MIB;
    for (let i = 0; i < 1000; i++)
      expect(caught(() => pool.acquire(2 * MIB, "logits"))).toBeInstanceOf(GpuMemoryError);
    const refused = caught(() => pool.acquire(2 * MIB, "logits")) as GpuMemoryError;
    expect(refused).toMatchObject({ live: ledger.live, budget: ledger.budget, largest: ledger.largest(5) });
    expect(refused.largest[0]).toMatchObject({ label: "weights" });
    expect(refused.asked).toBeGreaterThanOrEqual(2 * MIB);
    expect(refused.message).toMatch(
      /2\.\d MiB for logits: .* live, peak .*, budget .*; largest: weights 3\.\d MiB.*\. Use a smaller batch/,
    );
    expect({ live: ledger.live, pooled: ledger.pooled, counts: pool.counts }).toEqual(state);
    ledger.budget = budget;
    pool.release(weights);
  });

  it("gives up pooled buffers before it refuses", () => {
    const { ledger, pool } = gpu;
    const { budget } = ledger;
    pool.trim();
    ledger.budget = ledger.live + 3 * MIB;
    pool.release(pool.acquire(2 * MIB));
    const other = pool.acquire(2.5 * MIB);
    expect(ledger.pooled).toBe(0);
    ledger.budget = budget;
    pool.release(other);
  });

  it("gives up pooled buffers when the driver has no more memory, and then refuses", () => {
    const { ledger, pool, device } = gpu;
    pool.trim();
    const make = device.createBuffer;
    const noMemory = { error: new Error("out of memory"), preventDefault: () => {} } as unknown as GPUUncapturedErrorEvent;
    let refusals = 0;
    device.createBuffer = (descriptor) => {
      if (refusals-- > 0) device.onuncapturederror?.(noMemory);
      return make.call(device, descriptor);
    };
    pool.release(pool.acquire(2 * MIB));
    refusals = 1;
    const other = pool.acquire(5 * MIB);
    expect([ledger.pooled, refusals]).toEqual([0, -1]);
    pool.release(other);
    refusals = 2;
    expect(caught(() => pool.acquire(20 * MIB, "logits"))).toMatchObject({
      name: "GpuMemoryError",
      message: expect.stringMatching(/the driver refused \(out of memory\).* for logits/),
    });
    device.createBuffer = make;
    expect(gpu.healthy).toBe(true);
  });

  it("refuses a buffer that the device cannot bind", () => {
    const max = gpu.profile.limits.maxStorageBufferBindingSize;
    const refused = caught(() => gpu.pool.acquire(max + 4, "embedding"));
    expect(refused).toMatchObject({
      name: "GpuLimitError",
      asked: max + 4,
      max,
      message: expect.stringContaining("embedding"),
    });
  });
});
