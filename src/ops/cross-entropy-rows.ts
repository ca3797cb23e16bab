import { softmaxLossF32 } from "../cpu/rows.ts";
import type { DType, TypedArray } from "../tensor/dtype.ts";
import { ArgumentError } from "../tensor/errors.ts";
import type { Dims, Range } from "../tensor/op-spec.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { cast } from "./cast.ts";
import { arange } from "./create.ts";
import { defineOp } from "./define-op.ts";
import { equal } from "./equal.ts";
import { mul } from "./mul.ts";
import { nanHelpers } from "./nan-wgsl.ts";
import { notEqual } from "./not-equal.ts";
import { reshape } from "./reshape.ts";
import { type RowKernel, rowPlan } from "./row-kernel.ts";
import { softmax } from "./softmax.ts";
import { sub } from "./sub.ts";
import { sumTo } from "./sum.ts";

const attrs = { ignoreIndex: { default: -100 as number } };

/** Where the laws draw labels from. */
export const labelDomain = ({ v }: Dims<"v">): Range => [0, v - 1];

/**
 * Cross-entropy of each row: `log Σ e^logits - logits[label]`; 0 where the label is `ignoreIndex`.
 *
 * @throws ArgumentError on the CPU when a label is neither in [0, v) nor `ignoreIndex`; on webgpu its row is
 * NaN
 */
export const crossEntropyRows = defineOp("crossEntropyRows", "logits[*, v], labels[*]:i32 -> loss[*]", {
  attrs,
  params: (_shapes, { ignoreIndex }) => ({ ignored: ignoreIndex }),
  reference({ logits, labels }, loss, { v }, { ignoreIndex }) {
    checkLabels("crossEntropy", labels, v, ignoreIndex);
    for (let row = 0; row < loss.length; row++) {
      if (labels[row] === ignoreIndex) continue;
      const top = largest(logits, row * v, v);
      let total = 0;
      for (let j = 0; j < v; j++) total += Math.exp(logits[row * v + j] - top);
      loss[row] = top + Math.log(total) - logits[row * v + labels[row]];
    }
  },
  helpers: nanHelpers,
  wgsl: /* wgsl */ `
    let start = i * dims.v;
    if (labels[i] == i32(dims.ignored)) { loss[i] = 0.0; return; }
    if (u32(labels[i]) >= dims.v) { loss[i] = not_a_number(); return; }
    var top = -3.4028234e38;
    for (var j = start; j < start + dims.v; j++) {
      if (is_nan(logits[j])) { loss[i] = logits[j]; return; }
      top = max(top, logits[j]);
    }
    var total = 0.0;
    for (var j = start; j < start + dims.v; j++) { total += exp(logits[j] - top); }
    loss[i] = top + log(total) - logits[start + u32(labels[i])];`,
  fast: {
    wgsl: (profile, { n, v }, { ignoreIndex }) => rowPlan(profile, LOSS, n, v, { word: ignoreIndex }),
    simd({ logits, labels }, loss, { v }, { ignoreIndex }) {
      checkLabels("crossEntropy", labels, v, ignoreIndex);
      return softmaxLossF32({ logits, labels: withoutIgnored(labels, ignoreIndex), scales: null, v, loss });
    },
  },
  reads: { logits: ["logits", "labels"] },
  vjp: ({ logits, labels }, dy, values) => ({
    logits: (): Tensor => sumTo(crossEntropyGrad(logits, labels, dy, values), logits.shape),
  }),
  domain: { labels: labelDomain },
});

const WALKS: RowKernel["walks"] = [
  [{ name: "top", combine: "max", each: "logits" }],
  // A NaN gets past max, not past the sum; exp might lose it.
  [{ name: "total", combine: "sum", each: "select(exp(logits - top), logits, isNan(logits))" }],
];

const LABEL = /* wgsl */ `
  let ignored = labels == i32(dims.word);
  let outside = u32(labels) >= dims.d;`;

const LOSS: RowKernel = {
  label: "crossEntropyRows",
  buffers: [
    { name: "logits", per: "matrix" },
    { name: "labels", per: "row", type: "i32" },
    { name: "loss", per: "row" },
  ],
  walks: WALKS,
  // The index of an ignored row stays inside the row: a read past the buffer is one of somewhere in it.
  between: `${LABEL}
  var result = top + log(total) - element_logits(row, select(u32(labels), 0u, outside));
  if (is_nan(total)) { result = total; }
  if (outside) { result = not_a_number(); }
  if (ignored) { result = 0.0; }`,
  result: "result",
};

/** Cotangent of the logits: `dy · (softmax(logits) - onehot(label))`, zeros in ignored rows. */
export const crossEntropyGrad = defineOp(
  "crossEntropyGrad",
  "logits[*, v], labels[*]:i32, dy[*] -> dlogits[*, v]",
  {
    attrs,
    params: (_shapes, { ignoreIndex }) => ({ ignored: ignoreIndex }),
    reference({ logits, labels, dy }, dlogits, { n, v }, { ignoreIndex }) {
      checkLabels("crossEntropy", labels, v, ignoreIndex);
      for (let row = 0; row < n; row++) {
        if (labels[row] === ignoreIndex) continue;
        const start = row * v;
        const top = largest(logits, start, v);
        let total = 0;
        for (let j = start; j < start + v; j++) total += dlogits[j] = Math.exp(logits[j] - top);
        const factor = dy[row] / total;
        for (let j = start; j < start + v; j++) dlogits[j] *= factor;
        dlogits[start + labels[row]] -= dy[row];
      }
    },
    helpers: nanHelpers,
    wgsl: /* wgsl */ `
    let row = i / dims.v; let start = row * dims.v;
    if (labels[row] == i32(dims.ignored)) { dlogits[i] = 0.0; return; }
    if (u32(labels[row]) >= dims.v) { dlogits[i] = not_a_number(); return; }
    var top = -3.4028234e38;
    for (var j = start; j < start + dims.v; j++) {
      if (is_nan(logits[j])) { dlogits[i] = logits[j]; return; }
      top = max(top, logits[j]);
    }
    var total = 0.0;
    for (var j = start; j < start + dims.v; j++) { total += exp(logits[j] - top); }
    dlogits[i] = dy[row] * (exp(logits[i] - top) / total - select(0.0, 1.0, i - start == u32(labels[row])));`,
    fast: {
      wgsl: (profile, { n, v }, { ignoreIndex }) => rowPlan(profile, GRAD, n, v, { word: ignoreIndex }),
      simd({ logits, labels, dy }, dlogits, { v }, { ignoreIndex }) {
        checkLabels("crossEntropy", labels, v, ignoreIndex);
        dlogits.set(logits);
        const loss = new Float32Array(labels.length);
        return softmaxLossF32({
          logits: dlogits,
          labels: withoutIgnored(labels, ignoreIndex),
          scales: dy,
          v,
          loss,
        });
      },
    },
    decompose({ logits, labels, dy }, { ignoreIndex }) {
      const { dtype } = logits;
      const column = reshape(labels, { shape: [...labels.shape, 1] });
      const ids = arange(0, logits.shape[logits.rank - 1], 1, { device: logits.device });
      const counted = cast(notEqual(column, ignoreIndex), { dtype });
      return mul(
        mul(reshape(dy, { shape: [...dy.shape, 1] }), counted),
        sub(softmax(logits), cast(equal(column, ids), { dtype })),
      );
    },
    domain: { labels: labelDomain },
  },
);

const GRAD: RowKernel = {
  label: "crossEntropyGrad",
  buffers: [
    { name: "logits", per: "matrix" },
    { name: "labels", per: "row", type: "i32" },
    { name: "dy", per: "row" },
    { name: "dlogits", per: "matrix" },
  ],
  walks: WALKS,
  between: `${LABEL}
  var factor = dy / total;
  if (is_nan(total)) { factor = total; }
  if (outside) { factor = not_a_number(); }`,
  result: "select(exp(logits - top) * factor - select(F(), F(dy), j == J(u32(labels))), F(), ignored)",
};

/** How many labels are not `ignoreIndex`, as a scalar of `dtype`. */
export function countLabels(labels: Tensor, ignoreIndex: number, dtype: DType): Tensor {
  return sumTo(cast(notEqual(labels, ignoreIndex), { dtype }), []);
}

/** @throws ArgumentError naming the first label that is neither in [0, v) nor `ignoreIndex` */
export function checkLabels(op: string, labels: TypedArray, v: number, ignoreIndex: number): void {
  for (let row = 0; row < labels.length; row++) {
    const label = labels[row];
    if ((label >= 0 && label < v) || label === ignoreIndex) continue;
    throw new ArgumentError(
      op,
      "every label",
      `from 0 to ${v - 1} or ignoreIndex (${ignoreIndex})`,
      `${label} at position ${row}`,
    );
  }
}

/** The labels with -1, which the kernels pass over, for `ignoreIndex`. */
export const withoutIgnored = (labels: TypedArray, ignoreIndex: number): Int32Array =>
  Int32Array.from(labels, (label) => (label === ignoreIndex ? -1 : label));

function largest(x: TypedArray, start: number, length: number): number {
  let top = -Infinity;
  for (let j = start; j < start + length; j++) if (x[j] > top) top = x[j];
  return top;
}
