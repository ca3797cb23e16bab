import { type Shape, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";

/** The same elements under another shape; one size may be -1. Shares memory with `x`. */
export const reshape = defineOp("reshape", "x[...]:any -> y[...]:any", {
  attrs: { shape: { default: [-1] as Shape } },
  view: true,
  shape({ x }, { shape }, fail) {
    const size = sizeOf(x);
    const open = shape.indexOf(-1);
    const rest = sizeOf(shape.filter((d) => d !== -1));
    const full = open < 0 || rest === 0 ? shape : shape.with(open, size / rest);
    const legal = full.every((d) => Number.isInteger(d) && d >= 0) && sizeOf(full) === size;
    return legal ? full : fail(`${x.join("×") || "a scalar"} has ${size} elements, which do not fill ${shape.join("×") || "a scalar"}`);
  },
  reference({ x }, y) {
    y.set(x);
  },
  reads: {},
  vjp: ({ x }, dy) => ({ x: (): Tensor => reshape(dy, { shape: x.shape }) }),
  draw(draw) {
    const x = draw.shape(4, 1);
    const shape = draw.pick([[sizeOf(x)], [1, ...x], [...x].reverse(), ...(sizeOf(x) > 0 ? [[-1], [x[0], -1]] : [])]);
    return { shapes: { x }, attrs: { shape } };
  },
});
