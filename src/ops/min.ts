import { stridedOffset } from "../tensor/strided.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { shareAmongTies } from "./max.ts";
import { nanHelpers } from "./nan-wgsl.ts";
import {
  drawReduction,
  reducedAxes,
  reducedShape,
  reducedSteps,
  reductionAttrs,
  reductionHelpers,
  reductionParams,
} from "./reduce.ts";

/**
 * Smallest element over `axes` (all by default); NaN where there is one. Its gradient is shared evenly among
 * ties, as `torch.amin`.
 */
export const min = defineOp("min", "x[...] -> y[...]", {
  attrs: reductionAttrs,
  shape({ x }, attrs, fail) {
    if (reducedAxes(x, attrs, fail).some((axis) => x[axis] === 0)) fail("nothing has no smallest element");
    return reducedShape(x, attrs, fail);
  },
  params: ({ x }, attrs) => reductionParams(x, attrs),
  reference({ x }, y, _dims, _attrs, params) {
    const steps = reducedSteps(params);
    for (let i = 0; i < y.length; i++) {
      const base = stridedOffset(i, params.keptSizes, params.keptStrides);
      let best = x[base];
      for (let j = 1; j < steps.length; j++) {
        const value = x[base + steps[j]];
        if (value < best || Number.isNaN(value)) best = value;
      }
      y[i] = best;
    }
  },
  helpers: reductionHelpers + nanHelpers,
  wgsl: /* wgsl */ `
    let base = kept_offset(i);
    var best = x[base];
    for (var j = 1u; j < dims.reduced && !is_nan(best); j++) {
      let value = x[base + reduced_offset(j)];
      if (is_nan(value) || value < best) { best = value; }
    }
    y[i] = best;`,
  reads: { x: ["x", "output"] },
  vjp: ({ x }, dy, attrs, y) => ({ x: (): Tensor => shareAmongTies(x, dy, attrs, y) }),
  draw: (draw) => drawReduction(draw, 1),
});
