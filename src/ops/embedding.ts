import { decodeStored } from "../cpu/stored.ts";
import { scatterPlan } from "../gpu/scatter-kernel.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { ArgumentError } from "../tensor/errors.ts";
import type { Dims, Range } from "../tensor/op-spec.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { packedEmbeddingPlan } from "./embedding-packed.ts";
import { nanHelpers } from "./nan-wgsl.ts";
import { reshape } from "./reshape.ts";
import { rows } from "./rows.ts";

/**
 * The rows of `weight` that `ids` name.
 *
 * @throws ArgumentError on the CPU when an id is not in [0, v); on webgpu its row is NaN
 */
export const embedding = defineOp("embedding", "ids[*]:i32, weight[v, d]:float|stored -> y[*, d]", {
  reference({ ids, weight }, y, { v, d }) {
    checkIds("embedding", ids, v);
    for (let row = 0; row < ids.length; row++) {
      const from = ids[row] * d;
      for (let column = 0; column < d; column++) y[row * d + column] = weight[from + column];
    }
  },
  helpers: nanHelpers,
  wgsl: /* wgsl */ `
    let id = u32(ids[i / dims.d]);
    if (id >= dims.v) { y[i] = not_a_number(); return; }
    y[i] = weight[id * dims.d + i % dims.d];`,
  // The rows that are read are decoded, not the table.
  fast: {
    packed: {
      wgsl: (format, _profile, dims) => packedEmbeddingPlan(format, dims),
      simd: (format) => (weight, { ids }, y, { v, d }) => {
        checkIds("embedding", ids, v);
        for (let row = 0; row < ids.length; row++) {
          decodeStored({ format, data: weight }, y.subarray(row * d, (row + 1) * d), ids[row] * d);
        }
        return true;
      },
    },
  },
  reads: { weight: ["ids"] },
  vjp: ({ ids, weight }, dy) => ({
    weight: (): Tensor =>
      scatterAdd(reshape(ids, { shape: [sizeOf(ids.shape)] }), rows(dy), { rows: weight.shape[0] }),
  }),
  domain: { ids: ({ v }: Dims<"v">): Range => [0, v - 1] },
});

/**
 * The adjoint of `embedding`: row `ids[k]` of the output is the sum of the rows `x[k]`, for each of `rows`
 * rows; 0 where no id names one. The order of the sum is fixed on every device.
 *
 * @throws ArgumentError on the CPU when an id is not in [0, rows); on webgpu such a row adds to nothing
 */
export const scatterAdd = defineOp("scatterAdd", "ids[t]:i32, x[t, d] -> y[...]", {
  attrs: { rows: { default: 1 as number } },
  shape: ({ x }, { rows: count }, fail) =>
    Number.isInteger(count) && count >= 0 ? [count, x[1]] : fail(`rows is ${count}, not a count`),
  params: (_shapes, { rows: count }) => ({ v: count }),
  reference({ ids, x }, y, { d }, _attrs, { v }) {
    checkIds("scatterAdd", ids, v);
    for (let row = 0; row < ids.length; row++) {
      const to = ids[row] * d;
      for (let column = 0; column < d; column++) y[to + column] += x[row * d + column];
    }
  },
  wgsl: /* wgsl */ `
    let id = i32(i / dims.d);
    var total = 0.0;
    for (var row = 0u; row < dims.t; row++) {
      if (ids[row] == id) { total += x[row * dims.d + i % dims.d]; }
    }
    y[i] = total;`,
  fast: { wgsl: (profile, { t, d }, { rows: count }) => scatterPlan(profile, t, d, count) },
  reads: { x: ["ids"] },
  vjp: ({ ids }, dy) => ({ x: (): Tensor => embedding(ids, dy) }),
  domain: { ids: (_dims: Dims, attrs: { readonly rows: number }): Range => [0, attrs.rows - 1] },
  draw(draw) {
    const [t, d] = draw.shape(2, 2);
    const [rows] = draw.shape(1, 1);
    return { shapes: { ids: [t], x: [t, d] }, attrs: { rows: Math.max(1, rows) } };
  },
});

function checkIds(op: string, ids: TypedArray, v: number): void {
  for (let row = 0; row < ids.length; row++) {
    if (ids[row] >= 0 && ids[row] < v) continue;
    throw new ArgumentError(
      op,
      "every id",
      `from 0 to ${v - 1} (${v} rows)`,
      `${ids[row]} at position ${row}`,
    );
  }
}
