import { afterAll, describe, expect, it, vi } from "vitest";
import { VARIANTS } from "../../src/cpu/variants.ts";
import { type Shape, sizeOf } from "../../src/tensor/shape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

/** Sizes beyond those that the laws draw: several units of work, tiles and vectors that are not full. */
const LARGE: Readonly<Record<string, { readonly shapes: readonly Shape[]; readonly attrs?: object; readonly labels?: number }>> = {
  add: { shapes: [[40_003], [40_003]] },
  sub: { shapes: [[33_001], [33_001]] },
  mul: { shapes: [[40_003], [40_003]] },
  swiglu: { shapes: [[70, 301], [70, 301]] },
  swigluDgate: { shapes: [[70, 301], [70, 301], [70, 301]] },
  exp: { shapes: [[40_003]] },
  sigmoid: { shapes: [[40_003]] },
  silu: { shapes: [[40_003]] },
  sum: { shapes: [[3, 20_011]], attrs: { axes: 1 } },
  mean: { shapes: [[7, 91, 75]], attrs: { axes: 1 } },
  norm: { shapes: [[800, 75]], attrs: { axes: 0 } },
  dropout: { shapes: [[40_003]], attrs: { p: 0.3, seed: 7, stream: 9 } },
  rmsNorm: { shapes: [[90, 173], [173]] },
  rmsNormDx: { shapes: [[90, 173], [173], [90, 173]] },
  rmsNormDweight: { shapes: [[90, 173], [90, 173]] },
  rope: { shapes: [[3, 45, 5, 22], [45, 11], [45, 11]] },
  linear: { shapes: [[150, 70], [81, 70]] },
  linearDx: { shapes: [[150, 81], [81, 70]] },
  linearDweight: { shapes: [[150, 81], [150, 70]] },
  matmul: { shapes: [[3, 70, 33], [3, 33, 65]] },
  matmulNT: { shapes: [[3, 70, 33], [3, 65, 33]] },
  matmulTN: { shapes: [[3, 33, 70], [3, 33, 65]] },
  crossEntropyRows: { shapes: [[60, 331], [60]], labels: 331 },
  crossEntropyGrad: { shapes: [[60, 331], [60], [60]], labels: 331 },
  linearLossParts: { shapes: [[90, 40], [203, 40], [90]], labels: 203, attrs: { chunk: 32 } },
  attention: { shapes: [[2, 70, 6, 24], [2, 77, 3, 24], [2, 77, 3, 24], [2, 77]] },
  attentionGradients: {
    shapes: [[2, 70, 6, 7], [2, 77, 3, 7], [2, 77, 3, 7], [2, 77], [2, 70, 6, 7]],
  },
};

const variants = VARIANTS.filter(({ name, create }) => {
  const canRun = create("gemm") !== null;
  if (!canRun) console.warn(`CPU variant "${name}" is not tested: Node ${process.version}, ${process.arch} cannot run it`);
  return canRun;
});

afterAll(() => vi.unstubAllEnvs());

describe.each(variants)("POLARGRAD_SIMD=$name", async ({ name }) => {
  vi.stubEnv("POLARGRAD_SIMD", name);
  vi.resetModules();
  const ops = await import("../../src/ops/index.ts");
  const { setCpuPath } = await import("../../src/ops/device.ts");
  const { opLaws } = await import("../../src/testing/index.ts");
  const { cpuKernels } = await import("../../src/cpu/launch.ts");

  // The variant is chosen at the first call: now, before the next one is set.
  const { variant } = cpuKernels();

  it("runs on this variant", () => {
    expect(variant).toBe(name);
  });

  const withKernels = ops.allOps.filter(({ spec }) => spec.fast?.simd && name !== "off");
  describe.each(withKernels.map((op) => ({ op, title: op.spec.name })))("$title", ({ op, title }) => {
    const laws = opLaws(op, { device: "cpu", runs: 0.5 }).filter((law) => /f32 on the CPU|NaN|same bits|live storages/.test(law.name));
    for (const law of laws) it(law.name, law.run);

    it("agrees with the reference at sizes of several units", () => {
      const { shapes, attrs = {}, labels = 2 } = LARGE[title] ?? { shapes: [] };
      expect(shapes, "add the op to LARGE").not.toEqual([]);
      const inputs = op.spec.signature.inputs.map(({ dtype }, i) => {
        const isWhole = dtype === "i32" || dtype === "bool";
        const values = Float64Array.from({ length: sizeOf(shapes[i]) }, (_, j) => (j * 0.6180339887 + i * 0.37) % 1);
        const data = isWhole ? values.map((value) => Math.floor(value * labels * 0.999)) : values.map((value) => 4 * value - 2);
        return (to: "f32" | "f64"): Tensor => ops.tensor(data, { shape: shapes[i], dtype: isWhole ? (dtype as "i32" | "bool") : to });
      });
      const run = (dtype: "f32" | "f64"): Float64Array => {
        const f = op as unknown as (...args: unknown[]) => Tensor;
        return Float64Array.from(ops.tidy(() => f(...inputs.map((input) => input(dtype)), attrs)).dataSync());
      };
      setCpuPath("fast");
      const actual = run("f32");
      setCpuPath("reference");
      const expected = run("f64");
      setCpuPath("proven");
      const largest = expected.reduce((top, value) => Math.max(top, Math.abs(value)), 0);
      const worst = expected.reduce((top, value, i) => Math.max(top, Math.abs(value - actual[i])), 0);
      expect(worst / largest).toBeLessThan(2e-5);
    });
  });
});
