import { afterAll, beforeAll, expect, it } from "vitest";
import { closeDevice, init } from "../../src/ops/index.ts";
import { useTestDriver } from "../driver.ts";
import { paths, report, runGolden } from "./llama-golden.ts";

beforeAll(async () => {
  useTestDriver();
  await init({ device: "webgpu" });
});
afterAll(closeDevice);

it.skipIf(paths === null)("stories260K on webgpu: loss, logits and all 47 gradients", async () => {
  const errors = await runGolden("webgpu", "f32");
  console.log(report("stories260K, webgpu", errors));
  expect(errors.gradients.size).toBe(47);
  expect(errors.loss).toBeLessThan(2e-5);
  expect(errors.logits).toBeLessThan(2e-5);
  for (const [name, error] of errors.gradients) expect(error, name).toBeLessThan(2e-5);
});
