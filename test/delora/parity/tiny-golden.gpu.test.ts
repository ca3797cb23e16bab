import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { closeDevice, init } from "../../../src/ops/index.ts";
import { useTestDriver } from "../../driver.ts";
import { loadTinyAdapter, repeatTinyRun, shown, TINY_METHODS, tinyGolden } from "./tiny-golden.ts";

beforeAll(async () => {
  useTestDriver();
  await init({ device: "webgpu" });
});
afterAll(closeDevice);

describe.skipIf(tinyGolden === null)("PEFT's small runs, on WebGPU", () => {
  it.each(TINY_METHODS)("%s: first logits and gradients, six clipped steps with a falling rate", async (method) => {
    const distances = await repeatTinyRun(method, "webgpu");
    console.log(`WebGPU against PEFT, ${method} trained: ${shown(distances)}`);
    for (const [name, distance] of Object.entries(distances)) expect(distance, name).toBeLessThanOrEqual(1e-4);
  }, 120_000);

  it.each(TINY_METHODS)("%s: the trained files' logits, gradients and updates, beside the base and merged", async (method) => {
    const distances = await loadTinyAdapter(method, "webgpu");
    console.log(`WebGPU against PEFT, ${method} loaded: ${shown(distances)}`);
    for (const [name, distance] of Object.entries(distances)) expect(distance, name).toBeLessThanOrEqual(1e-4);
  }, 120_000);
});
