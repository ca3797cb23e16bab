import { expect, it } from "vitest";
import { paths, report, runGolden } from "./llama-golden.ts";

it.skipIf(paths === null).each([
  { dtype: "f64", bound: 1e-10 },
  { dtype: "f32", bound: 2e-5 },
] as const)(
  "stories260K on the CPU in $dtype: loss, logits and all 47 gradients",
  async ({ dtype, bound }) => {
    const errors = await runGolden("cpu", dtype);
    console.log(report(`stories260K, CPU, ${dtype}`, errors));
    expect(errors.gradients.size).toBe(47);
    expect(errors.loss).toBeLessThan(bound);
    expect(errors.logits).toBeLessThan(bound);
    for (const [name, error] of errors.gradients) expect(error, name).toBeLessThan(bound);
  },
);
