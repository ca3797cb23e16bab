import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PeftModel } from "../../src/delora/index.ts";
import { goldenBase, goldenRun, loadGoldenAdapter, repeatGoldenRun } from "./golden-run.ts";

describe.skipIf(goldenRun === null)("a DeLoRA run recorded with PEFT, on the CPU", () => {
  it("is repeated: gradients of steps 0 and 1, 20 losses", async () => {
    const { gradients, losses } = await repeatGoldenRun("cpu");
    const shown = gradients.map((error) => error.toExponential(1)).join(" and ");
    console.log(`CPU against PEFT: gradients of steps 0 and 1 ${shown}, losses ${losses.toExponential(1)}`);
    expect(gradients[0]).toBeLessThanOrEqual(1e-4);
    expect(gradients[1]).toBeLessThanOrEqual(1e-4);
    expect(losses).toBeLessThanOrEqual(1e-4);
  }, 120_000);

  it("gives PEFT's logits from PEFT's files, beside the base and merged", async () => {
    const { adapter, merged } = await loadGoldenAdapter("cpu");
    console.log(`CPU against PEFT: logits ${adapter.toExponential(1)}, merged ${merged.toExponential(1)}`);
    expect(adapter).toBeLessThanOrEqual(1e-4);
    expect(merged).toBeLessThanOrEqual(1e-4);
  });

  it("is saved again byte for byte", async () => {
    const source = goldenRun?.adapter ?? "";
    const dir = await mkdtemp(join(tmpdir(), "polargrad-golden-"));
    try {
      const peft = await PeftModel.fromPretrained(await goldenBase("cpu"), source);
      await peft.savePretrained(dir);
      for (const name of ["adapter_model.safetensors", "adapter_config.json"]) {
        expect((await readFile(join(dir, name))).equals(await readFile(join(source, name))), name).toBe(true);
      }
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
