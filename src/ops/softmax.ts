import { resolveAxis, type Shape, sizeOf } from "../tensor/shape.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import type { Draw, DrawnCall } from "../tensor/op-spec.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { exp } from "./exp.ts";
import { logsumexp } from "./logsumexp.ts";
import { mul } from "./mul.ts";
import { sub } from "./sub.ts";
import { sum } from "./sum.ts";

/** The axis as `size` elements, `step` apart, at each of `outer × step` places. */
function axisParams(x: Shape, axis: number) {
  const at = resolveAxis(axis, x.length) ?? 0;
  return { size: x[at], step: sizeOf(x.slice(at + 1)), outer: sizeOf(x.slice(0, at)) };
}

/** `e^x / Σ e^x` along `axis`. */
export const softmax = defineOp("softmax", "x[...] -> y[...]", {
  attrs: { axis: { default: -1 as number } },
  shape: ({ x }, { axis }, fail) =>
    resolveAxis(axis, x.length) === null ? fail(`axis ${axis} is out of range for ${x.length} axes`) : x,
  params: ({ x }, { axis }) => axisParams(x, axis),
  reference({ x }, y, _dims, _attrs, { outer, size, step }) {
    for (let place = 0; place < outer * step; place++) {
      const first = firstOf(place, size, step);
      const end = first + size * step;
      const top = topOf(x, first, end, step);
      let total = 0;
      for (let i = first; i < end; i += step) total += y[i] = Math.exp(x[i] - top);
      for (let i = first; i < end; i += step) y[i] /= total;
    }
  },
  decompose: ({ x }, { axis }) => exp(sub(x, logsumexp(x, { axes: axis, keepDims: true }))),
  reads: { x: ["output"] },
  vjp: (_inputs, dy, { axis }, y) => ({
    x: (): Tensor => mul(y, sub(dy, sum(mul(dy, y), { axes: axis, keepDims: true }))),
  }),
  draw: drawAxis,
});

/** `x - log Σ e^x` along `axis`: the logarithm of `softmax`, without its underflow. */
export const logSoftmax = defineOp("logSoftmax", "x[...] -> y[...]", {
  attrs: { axis: { default: -1 as number } },
  shape: ({ x }, { axis }, fail) =>
    resolveAxis(axis, x.length) === null ? fail(`axis ${axis} is out of range for ${x.length} axes`) : x,
  params: ({ x }, { axis }) => axisParams(x, axis),
  reference({ x }, y, _dims, _attrs, { outer, size, step }) {
    for (let place = 0; place < outer * step; place++) {
      const first = firstOf(place, size, step);
      const end = first + size * step;
      const top = topOf(x, first, end, step);
      let total = 0;
      for (let i = first; i < end; i += step) total += Math.exp(x[i] - top);
      const logTotal = Math.log(total);
      for (let i = first; i < end; i += step) y[i] = x[i] - top - logTotal;
    }
  },
  decompose: ({ x }, { axis }) => sub(x, logsumexp(x, { axes: axis, keepDims: true })),
  reads: { x: ["output"] },
  vjp: (_inputs, dy, { axis }, y) => ({
    x: (): Tensor => sub(dy, mul(exp(y), sum(dy, { axes: axis, keepDims: true }))),
  }),
  draw: drawAxis,
});

const firstOf = (place: number, size: number, step: number): number =>
  Math.floor(place / step) * size * step + (place % step);

function topOf(x: TypedArray, first: number, end: number, step: number): number {
  let top = -Infinity;
  for (let i = first; i < end; i += step) top = Math.max(top, x[i]);
  return top;
}

function drawAxis(draw: Draw): DrawnCall {
  const x = draw.shape(4, 1);
  const axis = draw.int(0, x.length - 1);
  return { shapes: { x }, attrs: { axis: draw.pick([axis, axis - x.length]) } };
}
