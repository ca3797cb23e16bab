import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { closeDevice, init } from "../../src/ops/index.ts";
import { useTestDriver } from "../driver.ts";
import { goldenRun, loadGoldenAdapter, repeatGoldenRun } from "./golden-run.ts";

beforeAll(async () => {
  useTestDriver();
  await init({ device: "webgpu" });
});
afterAll(closeDevice);

describe.skipIf(goldenRun === null)("a DeLoRA run recorded with PEFT, on WebGPU", () => {
  it("is repeated: gradients of steps 0 and 1, 20 losses", async () => {
    const { gradients, losses } = await repeatGoldenRun("webgpu");
    const shown = gradients.map((error) => error.toExponential(1)).join(" and ");
    console.log(
      `WebGPU against PEFT: gradients of steps 0 and 1 ${shown}, losses ${losses.toExponential(1)}`,
    );
    expect(gradients[0]).toBeLessThanOrEqual(1e-4);
    expect(gradients[1]).toBeLessThanOrEqual(1e-4);
    expect(losses).toBeLessThanOrEqual(1e-3);
  }, 300_000);

  it("gives PEFT's logits from PEFT's files, beside the base and merged", async () => {
    const { adapter, merged } = await loadGoldenAdapter("webgpu");
    console.log(`WebGPU against PEFT: logits ${adapter.toExponential(1)}, merged ${merged.toExponential(1)}`);
    expect(adapter).toBeLessThanOrEqual(1e-4);
    expect(merged).toBeLessThanOrEqual(1e-4);
  });
});
