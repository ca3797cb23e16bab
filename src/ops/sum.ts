import { sumF32 } from "../cpu/sums.ts";
import { broadcastShapes, broadcastStrides, isShape, sameShape, type Shape } from "../tensor/shape.ts";
import { stridedOffset } from "../tensor/strided.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { drawReduction, overRun, reducedShape, reductionAttrs, reductionHelpers, reductionParams, sumOverAxes, totalOf } from "./reduce.ts";
import { reshape } from "./reshape.ts";

/** Sum over `axes` (all by default); the sum of nothing is 0. */
export const sum = defineOp("sum", "x[...] -> y[...]", {
  attrs: reductionAttrs,
  shape: ({ x }, attrs, fail) => reducedShape(x, attrs, fail),
  params: ({ x }, attrs) => reductionParams(x, attrs),
  reference({ x }, y, _dims, _attrs, { reduced, keptSizes, keptStrides, reducedSizes, reducedStrides }) {
    const steps = Int32Array.from({ length: reduced }, (_, j) => stridedOffset(j, reducedSizes, reducedStrides));
    for (let i = 0; i < y.length; i++) {
      const base = stridedOffset(i, keptSizes, keptStrides);
      let total = 0;
      for (let j = 0; j < steps.length; j++) total += x[base + steps[j]];
      y[i] = total;
    }
  },
  helpers: reductionHelpers,
  wgsl: `${totalOf("value")} y[i] = total;`,
  fast: {
    wgsl: (profile, _dims, _attrs, params) =>
      sumOverAxes(profile, { label: "sum", term: "value", finish: "total" }, params),
    simd: ({ x }, y, _dims, _attrs, params) => overRun(params, (run) => sumF32(x, y, run)),
  },
  reads: {},
  vjp: ({ x }, dy, attrs) => ({
    x: (): Tensor => expand(reshape(dy, { shape: reducedShape(x.shape, { ...attrs, keepDims: true }, outOfRange) }), { shape: x.shape }),
  }),
  draw: drawReduction,
  ulps: 256,
});

const outOfRange = (why: string): never => {
  throw new RangeError(why);
};

/** Repeat axes of size 1 (and missing leading axes) up to `shape`, as NumPy's `broadcast_to`. */
export const expand = defineOp("expand", "x[...]:any -> y[...]:any", {
  attrs: { shape: { default: [] as Shape } },
  shape({ x }, { shape }, fail) {
    const common = broadcastShapes(x, shape);
    return common && isShape(shape) && sameShape(common, shape) ? shape : fail(`${x.join("×") || "a scalar"} does not expand to ${shape.join("×") || "a scalar"}`);
  },
  params: ({ x }, _attrs, y) => ({ rank: y.length, sizes: y, strides: broadcastStrides(x, y) }),
  reference({ x }, y, _dims, _attrs, { sizes, strides }) {
    for (let i = 0; i < y.length; i++) y[i] = x[stridedOffset(i, sizes, strides)];
  },
  wgsl: /* wgsl */ `
    var rest = i; var source = 0u;
    for (var a = dims.rank; a > 0u; a--) { let s = sizes(a - 1u); source += (rest % s) * strides(a - 1u); rest /= s; }
    y[i] = x[source];`,
  reads: {},
  vjp: ({ x }, dy) => ({ x: (): Tensor => sumTo(dy, x.shape) }),
  draw(draw) {
    const shape = draw.shape(4);
    const x = shape.slice(draw.int(0, shape.length)).map((d) => (draw.int(0, 2) === 0 ? 1 : d));
    return { shapes: { x }, attrs: { shape } };
  },
});

/** Undo broadcasting: sum `t` down to `shape`. The identity where nothing was broadcast. */
export function sumTo(t: Tensor, shape: Shape): Tensor {
  if (sameShape(t.shape, shape)) return t;
  const lead = t.rank - shape.length;
  const axes = t.shape.map((_, axis) => axis).filter((axis) => axis < lead || (shape[axis - lead] === 1 && t.shape[axis] !== 1));
  return reshape(sum(t, { axes }), { shape });
}
