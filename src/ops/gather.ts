import { ArgumentError } from "../tensor/errors.ts";
import type { Dims, Draw, DrawnCall, Range } from "../tensor/op-spec.ts";
import { resolveAxis, type Shape, stridesOf } from "../tensor/shape.ts";
import { stridedOffset } from "../tensor/strided.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { nanHelpers } from "./nan-wgsl.ts";

/**
 * What the two ops know: shapes as sizes and strides of `index`, and the strides of the tensor that it points
 * into.
 */
function gatherParams(x: Shape, index: Shape, axis: number) {
  const at = resolveAxis(axis, x.length) ?? 0;
  const strides = stridesOf(x);
  return {
    rank: index.length,
    size: x[at],
    step: strides[at],
    sizes: index,
    strides: strides.with(at, 0),
  };
}

/** The law of `torch.gather`: as many axes in `index` as in `x`, none longer except along `axis`. */
function checkGather(x: Shape, index: Shape, axis: number, fail: (why: string) => never): void {
  const at = resolveAxis(axis, x.length) ?? fail(`axis ${axis} is out of range for ${x.length} axes`);
  if (index.length !== x.length) fail(`index has ${index.length} axes, x ${x.length}`);
  const long = index.findIndex((size, k) => k !== at && size > x[k]);
  if (long >= 0) fail(`axis ${long} of index is ${index[long]}, more than ${x[long]} in x`);
}

/**
 * One element of `x` along `axis` for each element of `index`, as `torch.gather`: `y[a, b] = x[index[a, b],
 * b]` for axis 0.
 *
 * @throws ArgumentError on the CPU when an index is out of range; on webgpu its element is NaN
 */
export const gather = defineOp("gather", "x[...], index[...]:i32 -> y[...]", {
  attrs: { axis: { default: -1 as number } },
  shape({ x, index }, { axis }, fail) {
    checkGather(x, index, axis, fail);
    return index;
  },
  params: ({ x, index }, { axis }) => gatherParams(x, index, axis),
  reference({ x, index }, y, _dims, _attrs, { size, step, sizes, strides }) {
    for (let i = 0; i < y.length; i++) {
      const at = index[i];
      if (!(at >= 0 && at < size)) throw outOfRange("gather", at, i, size);
      y[i] = x[stridedOffset(i, sizes, strides) + at * step];
    }
  },
  helpers: nanHelpers,
  wgsl: /* wgsl */ `
    let at = u32(index[i]);
    if (at >= dims.size) { y[i] = not_a_number(); return; }
    var rest = i; var source = at * dims.step;
    for (var a = dims.rank; a > 0u; a--) {
      let s = sizes(a - 1u);
      source += (rest % s) * strides(a - 1u);
      rest /= s;
    }
    y[i] = x[source];`,
  reads: { x: ["index"] },
  vjp: ({ x, index }, dy, { axis }) => ({ x: (): Tensor => gatherDx(index, dy, { axis, shape: x.shape }) }),
  draw: drawGather,
});

/** The adjoint of `gather`: adds each element of `dy` to the element of `shape` that `index` took it from. */
export const gatherDx = defineOp("gatherDx", "index[...]:i32, dy[...] -> dx[...]", {
  attrs: { axis: { default: -1 as number }, shape: { default: [0] as Shape } },
  shape({ index }, { axis, shape }, fail) {
    checkGather(shape, index, axis, fail);
    return shape;
  },
  params({ index }, { axis, shape }) {
    const { rank, size, step, sizes, strides } = gatherParams(shape, index, axis);
    const at = resolveAxis(axis, index.length) ?? 0;
    const own = stridesOf(index);
    return {
      rank,
      size,
      step,
      sizes,
      strides,
      shape,
      own: own.with(at, 0),
      length: index[at],
      stride: own[at],
      at,
    };
  },
  reference({ index, dy }, dx, _dims, _attrs, { size, step, sizes, strides }) {
    for (let i = 0; i < dy.length; i++) {
      const at = index[i];
      if (!(at >= 0 && at < size)) throw outOfRange("gatherDx", at, i, size);
      dx[stridedOffset(i, sizes, strides) + at * step] += dy[i];
    }
  },
  // Element i collects from the elements of index that differ from it along the axis alone.
  wgsl: /* wgsl */ `
    var rest = i; var source = 0u; var own_at = 0u;
    for (var a = dims.rank; a > 0u; a--) {
      let k = rest % shape(a - 1u); rest /= shape(a - 1u);
      if (a - 1u == dims.at) { own_at = k; continue; }
      if (k >= sizes(a - 1u)) { dx[i] = 0.0; return; }
      source += k * own(a - 1u);
    }
    var total = 0.0;
    for (var k = 0u; k < dims.length; k++) {
      let at = source + k * dims.stride;
      if (u32(index[at]) == own_at) { total += dy[at]; }
    }
    dx[i] = total;`,
  reads: { dy: ["index"] },
  vjp: ({ index }, g, { axis }) => ({ dy: (): Tensor => gather(g, index, { axis }) }),
  domain: {
    index: (_dims: Dims, { axis, shape }: { readonly axis: number; readonly shape: Shape }): Range => [
      0,
      (shape.at(axis) ?? 0) - 1,
    ],
  },
  draw(draw) {
    const { shapes, attrs } = drawGather(draw);
    return {
      shapes: { index: shapes.index, dy: shapes.index },
      attrs: { axis: attrs?.axis, shape: shapes.x },
    };
  },
});

function outOfRange(op: string, at: number, position: number, size: number): ArgumentError {
  return new ArgumentError(op, "every index", `from 0 to ${size - 1}`, `${at} at position ${position}`);
}

function drawGather(draw: Draw): DrawnCall {
  const sizes = draw.shape(3, 1);
  const axis = draw.int(0, sizes.length - 1);
  // The laws draw indices from 0 to 3.
  const x = sizes.with(axis, Math.max(4, sizes[axis]));
  const [count] = draw.shape(1, 1);
  const index = x.map((size, k) => (k === axis ? count : size - draw.int(0, Math.min(1, size))));
  return { shapes: { x, index }, attrs: { axis: draw.pick([axis, axis - x.length]) } };
}
