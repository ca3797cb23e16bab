import { resolveAxis, type Shape, stridesOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { copyStrided } from "./strided-copy.ts";

type Axes = readonly number[] | null;

/**
 * The permutation that `axes` means for a rank; by default the last two axes swapped. Calls `fail` where it
 * is none.
 */
function permutation(rank: number, axes: Axes, fail: (why: string) => never): number[] {
  if (axes === null) {
    if (rank < 2) return fail(`swapping the last two axes needs at least 2, x has ${rank}`);
    return [...Array.from({ length: rank - 2 }, (_, axis) => axis), rank - 1, rank - 2];
  }
  if (!Array.isArray(axes)) return fail("axes must be a list of axes");
  const order = (axes as readonly number[]).map(
    (axis) => resolveAxis(axis, rank) ?? fail(`axis ${axis} is out of range for ${rank} axes`),
  );
  if (order.length === rank && new Set(order).size === rank) return order;
  return fail(`axes [${axes.join(", ")}] must name each of the ${rank} axes once`);
}

const checked = (): never => {
  throw new RangeError("not a permutation");
};

const permuted = (shape: Shape, order: readonly number[]): number[] => order.map((axis) => shape[axis]);

/**
 * Reorder the axes: axis `k` of the result is axis `axes[k]` of `x`. Without `axes` the last two are swapped.
 */
export const transpose = defineOp("transpose", "x[...]:any -> y[...]:any", {
  attrs: { axes: { default: null as Axes } },
  shape: ({ x }, { axes }, fail) => permuted(x, permutation(x.length, axes, fail)),
  params({ x }, { axes }, y) {
    const order = permutation(x.length, axes, checked);
    return { rank: y.length, sizes: y, strides: permuted(stridesOf(x), order) };
  },
  reference({ x }, y, _dims, _attrs, { sizes, strides }) {
    copyStrided(x, y, sizes, strides);
  },
  wgsl: /* wgsl */ `
    var rest = i; var source = 0u;
    for (var a = dims.rank; a > 0u; a--) {
      let s = sizes(a - 1u);
      source += (rest % s) * strides(a - 1u);
      rest /= s;
    }
    y[i] = x[source];`,
  reads: {},
  vjp({ x }, dy, { axes }) {
    const order = permutation(x.rank, axes, checked);
    return { x: (): Tensor => transpose(dy, { axes: order.map((_, axis) => order.indexOf(axis)) }) };
  },
  draw(draw) {
    const x = draw.shape(4);
    const left = x.map((_, axis) => axis);
    const axes = x.map(() => left.splice(draw.int(0, left.length - 1), 1)[0]);
    return {
      shapes: { x },
      attrs: { axes: draw.pick([axes, axes.map((axis) => axis - x.length), x.length > 1 ? null : axes]) },
    };
  },
});
