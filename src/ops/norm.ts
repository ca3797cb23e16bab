import { normF32 } from "../cpu/sums.ts";
import { stridedOffset } from "../tensor/strided.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { divOrZero } from "./div-or-zero.ts";
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

/**
 * Euclidean norm `√ Σ x²` over `axes` (all by default). Its gradient at the zero vector is 0, as in PyTorch.
 */
export const norm = defineOp("norm", "x[...]:float|stored -> y[...]", {
  attrs: reductionAttrs,
  shape: ({ x }, attrs, fail) => reducedShape(x, attrs, fail),
  params: ({ x }, attrs) => reductionParams(x, attrs),
  reference({ x }, y, _dims, _attrs, params) {
    const steps = reducedSteps(params);
    for (let i = 0; i < y.length; i++) {
      const base = stridedOffset(i, params.keptSizes, params.keptStrides);
      let total = 0;
      for (let j = 0; j < steps.length; j++) total += x[base + steps[j]] * x[base + steps[j]];
      y[i] = Math.sqrt(total);
    }
  },
  helpers: reductionHelpers,
  wgsl: `${totalOf("value * value")} y[i] = sqrt(total);`,
  fast: {
    wgsl: (profile, _dims, _attrs, params) =>
      sumOverAxes(profile, { label: "norm", term: "value * value", finish: "sqrt(total)" }, params),
    simd: ({ x }, y, _dims, _attrs, params) => overRun(params, (run) => normF32(x, y, run)),
  },
  reads: { x: ["x", "output"] },
  vjp: ({ x }, dy, attrs, y) => ({
    x: (): Tensor => mul(x, keepReduced(divOrZero(dy, y), x.shape, attrs)),
  }),
  draw: (draw) => drawReduction(draw, 1),
  // Away from 0, where the norm of a single number has a corner.
  domain: { x: [0.1, 2] },
});
