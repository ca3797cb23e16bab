import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { expectAgreement, expectUntrained } from "../../bench/harness/gates.ts";
import { timedSteps } from "../../bench/sides/timed-steps.ts";
import { DELORA_SIZES, deloraStep, readBatch, writeDelora } from "../../bench/workloads/delora.ts";

const SIZE = { ...DELORA_SIZES.tiny, layers: 1, batch: 1, time: 16 };

it("a DeLoRA contest starts from files, and learns", async () => {
  const folder = await mkdtemp(join(tmpdir(), "polargrad-bench-"));
  try {
    await writeDelora(folder, SIZE);
    for (const file of ["base/model.safetensors", "base/config.json", "adapter/adapter_model.safetensors"]) expect(existsSync(join(folder, file))).toBe(true);
    expect(readBatch(folder).ids.map((row) => row.length)).toEqual([16]);
    const runs = [await timedSteps(await deloraStep(folder), 4), await timedSteps(await deloraStep(folder), 4)];
    const [first, second] = runs.map(({ losses = [] }) => losses);
    expect(expectUntrained(first[0], SIZE.vocabulary)).toContain("ln(vocabulary) 6.238");
    expect(first[3]).toBeLessThan(first[0] - 0.01);
    expect(expectAgreement(first, second, "the second")).toBe("4 losses as the second's, within 0.0e+0");
  } finally {
    await rm(folder, { recursive: true });
  }
});
