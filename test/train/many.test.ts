import { expect, it } from "vitest";
import { tensor } from "../../src/index.ts";
import type { DType } from "../../src/tensor/dtype.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { AdamW, clipGradients } from "../../src/train/index.ts";

/** More than one piece of a kernel's table, less than a vector, and none at all. */
const SIZES = [40_003, 3, 0, 257];

/** Values after four clipped steps with gradients that change, and the norms before clipping. */
async function train(dtype: DType): Promise<{ values: number[]; norms: number[] }> {
  const wave = (size: number, seed: number): Float64Array =>
    Float64Array.from({ length: size }, (_, i) => ((i * 0.6180339887 + seed * 0.37) % 1) - 0.5);
  const params = SIZES.map((size, i) => new Parameter(tensor(wave(size, i), { dtype })));
  const optimizer = new AdamW(params, { lr: 0.02, weightDecay: 0.1 });
  const norms: number[] = [];
  for (let step = 0; step < 4; step++) {
    // The last parameter has no gradient at first: its steps are counted apart.
    for (const [i, parameter] of params.entries()) {
      if (i < 3 || step > 1) parameter.grad = tensor(wave(SIZES[i], 7 * step + i), { dtype });
    }
    const norm = clipGradients(params, 20);
    norms.push((await norm?.item()) ?? -1);
    norm?.dispose();
    optimizer.step();
    optimizer.zeroGrad();
  }
  const values = (await Promise.all(params.map((parameter) => parameter.data()))).flatMap((data) => [...data]);
  optimizer.dispose();
  return { values, norms };
}

it("clips and updates f32 parameters in one kernel as f64 ones one by one", async () => {
  const [actual, expected] = [await train("f32"), await train("f64")];
  expect(Math.min(...expected.norms)).toBeGreaterThan(20);
  for (const [i, norm] of expected.norms.entries()) expect(Math.abs(actual.norms[i] / norm - 1)).toBeLessThan(1e-6);
  const worst = expected.values.reduce((top, value, i) => Math.max(top, Math.abs(value - actual.values[i])), 0);
  expect(worst).toBeLessThan(2e-6);
});
