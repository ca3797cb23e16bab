import { sumF32 } from "../cpu/sums.ts";
import { stridedOffset } from "../tensor/strided.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { expand } from "./sum.ts";
import { mul } from "./mul.ts";
import {
  drawReduction,
  keepReduced,
  overRun,
  reducedShape,
  reducedSteps,
  reductionAttrs,
  reductionHelpers,
  reductionParams,
  sumOverAxes,
  totalOf,
} from "./reduce.ts";

/** Mean over `axes` (all by default); the mean of nothing is NaN. */
export const mean = defineOp("mean", "x[...] -> y[...]", {
  attrs: reductionAttrs,
  shape: ({ x }, attrs, fail) => reducedShape(x, attrs, fail),
  params: ({ x }, attrs) => reductionParams(x, attrs),
  reference({ x }, y, _dims, _attrs, params) {
    const steps = reducedSteps(params);
    for (let i = 0; i < y.length; i++) {
      const base = stridedOffset(i, params.keptSizes, params.keptStrides);
      let total = 0;
      for (let j = 0; j < steps.length; j++) total += x[base + steps[j]];
      y[i] = total / steps.length;
    }
  },
  helpers: reductionHelpers,
  wgsl: `${totalOf("value")} y[i] = total / f32(dims.reduced);`,
  fast: {
    wgsl: (profile, _dims, _attrs, params) =>
      sumOverAxes(profile, { label: "mean", term: "value", finish: "total / f32(p.reduced)" }, params),
    simd: ({ x }, y, _dims, _attrs, params) => overRun(params, (run) => sumF32(x, y, run, params.reduced)),
  },
  reads: {},
  vjp: ({ x }, dy, attrs) => ({
    x: (): Tensor => expand(keepReduced(mul(dy, dy.size / x.size), x.shape, attrs), { shape: x.shape }),
  }),
  draw: (draw) => drawReduction(draw, 1),
  ulps: 256, // f32 sums of up to 257 terms, in the kernel's order
});
