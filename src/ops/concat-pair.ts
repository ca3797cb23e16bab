import type { Tensor } from "../tensor/tensor.ts";
import { axisBlocks, checkedAxis } from "./axis-blocks.ts";
import { defineOp } from "./define-op.ts";
import { slice } from "./slice.ts";

/** Two tensors joined along an axis; all other axes agree. `concat` takes any number of them. */
export const concatPair = defineOp("concatPair", "a[...]:any, b[...]:any -> y[...]:any", {
  attrs: { axis: { default: 0 as number } },
  shape({ a, b }, { axis }, fail) {
    const blocks = axisBlocks(a, axis, fail);
    const fits = a.length === b.length && a.every((d, k) => k === blocks.axis || d === b[k]);
    return fits
      ? a.with(blocks.axis, blocks.size + b[blocks.axis])
      : fail(`all axes but axis ${axis} have to agree`);
  },
  params({ a, b }, { axis }) {
    const left = axisBlocks(a, axis, checkedAxis);
    return { rowA: left.size * left.inner, rowB: b[left.axis] * left.inner };
  },
  reference({ a, b }, y, _dims, _attrs, { rowA, rowB }) {
    for (let i = 0, k = 0; i < y.length; i += rowA + rowB, k++) {
      y.set(a.subarray(k * rowA, (k + 1) * rowA), i);
      y.set(b.subarray(k * rowB, (k + 1) * rowB), i + rowA);
    }
  },
  wgsl: /* wgsl */ `
    let row = dims.rowA + dims.rowB;
    let column = i % row;
    if (column < dims.rowA) {
      y[i] = a[(i / row) * dims.rowA + column];
    } else {
      y[i] = b[(i / row) * dims.rowB + column - dims.rowA];
    }`,
  reads: {},
  vjp({ a }, dy, { axis }) {
    const seam = axisBlocks(a.shape, axis, checkedAxis).size;
    return {
      a: (): Tensor => slice(dy, { axis, end: seam }),
      b: (): Tensor => slice(dy, { axis, start: seam }),
    };
  },
  draw(draw) {
    const a = draw.shape(4, 1);
    const axis = draw.int(-a.length, a.length - 1);
    const b = a.with(axis, draw.pick([0, 1, 2, a.at(axis) ?? 0]));
    return { shapes: { a, b }, attrs: { axis } };
  },
});
