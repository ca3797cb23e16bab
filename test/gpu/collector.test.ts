import { afterAll, expect, it } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { closeDevice, init, mul, ones, sum } from "../../src/index.ts";
import { currentGpu } from "../../src/ops/index.ts";
import { useTestDriver } from "../driver.ts";

const MEGABYTE = 1024 * 1024;

afterAll(closeDevice);

it("a loop that drops its tensors without tidy stays within the budget", async () => {
  useTestDriver();
  await init({ device: "webgpu" });
  const gpu = currentGpu() as Gpu;
  gpu.ledger.budget = gpu.ledger.live + gpu.ledger.pooled + 40 * MEGABYTE;
  const x = ones([512, 512]);
  // 80 products of 1 MB each: twice the budget.
  for (let step = 0; step < 80; step++) expect(await sum(mul(x, step)).item()).toBe(step * 512 * 512);
  expect(gpu.ledger.peak).toBeLessThan(gpu.ledger.budget);
});
