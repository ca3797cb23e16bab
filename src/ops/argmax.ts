import { stridedOffset } from "../tensor/strided.ts";
import { defineOp } from "./define-op.ts";
import { nanHelpers } from "./nan-wgsl.ts";
import { drawReduction, reducedShape, reducedSteps, reductionHelpers, reductionParams } from "./reduce.ts";

/** Index of the largest element along `axis` as i32: the first one of equals; a NaN counts as the largest. */
export const argmax = defineOp("argmax", "x[...] -> y[...]:i32", {
  attrs: { axis: { default: -1 as number }, keepDims: { default: false } },
  shape({ x }, { axis, keepDims }, fail) {
    if (x.at(axis) === 0) fail("nothing has no largest element");
    return reducedShape(x, { axes: axis, keepDims }, fail);
  },
  params: ({ x }, { axis }) => reductionParams(x, { axes: axis }),
  reference({ x }, y, _dims, _attrs, params) {
    const steps = reducedSteps(params);
    for (let i = 0; i < y.length; i++) {
      const base = stridedOffset(i, params.keptSizes, params.keptStrides);
      let best = 0;
      for (let j = 1; j < steps.length && !Number.isNaN(x[base + steps[best]]); j++) {
        const value = x[base + steps[j]];
        if (value > x[base + steps[best]] || Number.isNaN(value)) best = j;
      }
      y[i] = best;
    }
  },
  helpers: reductionHelpers + nanHelpers,
  wgsl: /* wgsl */ `
    let base = kept_offset(i);
    var best = 0u;
    var top = x[base];
    for (var j = 1u; j < dims.reduced && !is_nan(top); j++) {
      let value = x[base + reduced_offset(j)];
      if (is_nan(value) || value > top) { top = value; best = j; }
    }
    y[i] = i32(best);`,
  draw(draw) {
    const { x } = drawReduction(draw, 1).shapes;
    return {
      shapes: { x: x.length > 0 ? x : [1] },
      attrs: { axis: draw.pick([-1, 0]), keepDims: draw.pick([true, false]) },
    };
  },
});
