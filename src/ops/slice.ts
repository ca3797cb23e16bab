import type { Tensor } from "../tensor/tensor.ts";
import { axisBlocks, checkedAxis } from "./axis-blocks.ts";
import { defineOp } from "./define-op.ts";

/** A NumPy bound: from the end where negative, cut to the axis. */
function bound(at: number, size: number, fail: (why: string) => never): number {
  if (!Number.isInteger(at)) return fail(`start and end must be integers, got ${at}`);
  return Math.min(size, Math.max(0, at < 0 ? at + size : at));
}

const range = (
  size: number,
  start: number,
  end: number | null,
  fail: (why: string) => never,
): [start: number, width: number] => {
  const from = bound(start, size, fail);
  return [from, Math.max(0, bound(end ?? size, size, fail) - from)];
};

/**
 * The part `start <= index < end` of one axis, as NumPy slices: negative counts from the end, too far is cut
 * off. A copy.
 */
export const slice = defineOp("slice", "x[...]:any -> y[...]:any", {
  attrs: {
    axis: { default: 0 as number },
    start: { default: 0 as number },
    end: { default: null as number | null },
  },
  shape({ x }, { axis, start, end }, fail) {
    const blocks = axisBlocks(x, axis, fail);
    return x.with(blocks.axis, range(blocks.size, start, end, fail)[1]);
  },
  params({ x }, { axis, start, end }) {
    const { size, inner } = axisBlocks(x, axis, checkedAxis);
    const [from, width] = range(size, start, end, checkedAxis);
    return { row: width * inner, fullRow: size * inner, skip: from * inner };
  },
  reference({ x }, y, _dims, _attrs, { row, fullRow, skip }) {
    for (let i = 0, at = skip; i < y.length; i += row, at += fullRow) y.set(x.subarray(at, at + row), i);
  },
  wgsl: "y[i] = x[(i / dims.row) * dims.fullRow + dims.skip + i % dims.row];",
  reads: {},
  vjp({ x }, dy, { axis, start, end }) {
    const blocks = axisBlocks(x.shape, axis, checkedAxis);
    const [before, width] = range(blocks.size, start, end, checkedAxis);
    return { x: (): Tensor => pad(dy, { axis: blocks.axis, before, after: blocks.size - before - width }) };
  },
  draw(draw) {
    const x = draw.shape(4, 1);
    const axis = draw.int(-x.length, x.length - 1);
    const size = x.at(axis) ?? 0;
    const end = draw.pick([null, draw.int(-size - 1, size + 1)]);
    return { shapes: { x }, attrs: { axis, start: draw.int(-size - 1, size + 1), end } };
  },
});

/** `before` and `after` zeros around one axis: the adjoint of `slice`. */
export const pad = defineOp("pad", "x[...]:any -> y[...]:any", {
  attrs: {
    axis: { default: 0 as number },
    before: { default: 0 as number },
    after: { default: 0 as number },
  },
  shape({ x }, { axis, before, after }, fail) {
    const wrong = [before, after].find((count) => !Number.isInteger(count) || count < 0);
    if (wrong !== undefined) return fail(`before and after must be integers from 0 on, got ${wrong}`);
    const blocks = axisBlocks(x, axis, fail);
    return x.with(blocks.axis, before + blocks.size + after);
  },
  params({ x }, { axis, before, after }) {
    const { size, inner } = axisBlocks(x, axis, checkedAxis);
    return { row: size * inner, fullRow: (before + size + after) * inner, skip: before * inner };
  },
  reference({ x }, y, _dims, _attrs, { row, fullRow, skip }) {
    if (row === 0) return;
    for (let i = 0, at = skip; i < x.length; i += row, at += fullRow) y.set(x.subarray(i, i + row), at);
  },
  // Left of the part, unsigned wrap-around makes `column` larger than any row.
  wgsl: /* wgsl */ `
    let column = i % dims.fullRow - dims.skip;
    if (column < dims.row) { y[i] = x[(i / dims.fullRow) * dims.row + column]; } else { y[i] = 0u; }`,
  reads: {},
  vjp: ({ x }, dy, { axis, before }) => ({
    x: (): Tensor =>
      slice(dy, { axis, start: before, end: before + axisBlocks(x.shape, axis, checkedAxis).size }),
  }),
  draw(draw) {
    const x = draw.shape(4, 1);
    return {
      shapes: { x },
      attrs: { axis: draw.int(-x.length, x.length - 1), before: draw.int(0, 3), after: draw.int(0, 3) },
    };
  },
});
