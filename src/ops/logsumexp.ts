import { stridedOffset } from "../tensor/strided.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { exp } from "./exp.ts";
import { mul } from "./mul.ts";
import { nanHelpers } from "./nan-wgsl.ts";
import {
  drawReduction,
  keepReduced,
  reducedShape,
  reducedSteps,
  reductionAttrs,
  reductionHelpers,
  reductionParams,
} from "./reduce.ts";
import { sub } from "./sub.ts";

/** `log Σ e^x` over `axes` (all by default), without overflow; -Infinity for nothing. */
export const logsumexp = defineOp("logsumexp", "x[...] -> y[...]", {
  attrs: reductionAttrs,
  shape: ({ x }, attrs, fail) => reducedShape(x, attrs, fail),
  params: ({ x }, attrs) => reductionParams(x, attrs),
  reference({ x }, y, _dims, _attrs, params) {
    const steps = reducedSteps(params);
    for (let i = 0; i < y.length; i++) {
      const base = stridedOffset(i, params.keptSizes, params.keptStrides);
      let top = -Infinity;
      for (let j = 0; j < steps.length; j++) top = Math.max(top, x[base + steps[j]]);
      let total = 0;
      for (let j = 0; j < steps.length; j++) total += Math.exp(x[base + steps[j]] - top);
      y[i] = Number.isFinite(top) ? top + Math.log(total) : top;
    }
  },
  helpers: reductionHelpers + nanHelpers,
  wgsl: /* wgsl */ `
    let base = kept_offset(i);
    var top = -3.4028234e38;
    for (var j = 0u; j < dims.reduced; j++) {
      let value = x[base + reduced_offset(j)];
      if (is_nan(value)) { y[i] = value; return; }
      top = max(top, value);
    }
    if (is_odd(top)) { y[i] = top; return; }
    var total = 0.0;
    for (var j = 0u; j < dims.reduced; j++) { total += exp(x[base + reduced_offset(j)] - top); }
    y[i] = top + log(total);`,
  reads: { x: ["x", "output"] },
  vjp: ({ x }, dy, attrs, y) => ({
    x: (): Tensor => mul(exp(sub(x, keepReduced(y, x.shape, attrs))), keepReduced(dy, x.shape, attrs)),
  }),
  draw: (draw) => drawReduction(draw, 1),
});
