import { linearLossF32 } from "../cpu/linear-loss.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import type { Weight } from "../cpu/stored.ts";
import { sizeOf } from "../tensor/shape.ts";
import { concat } from "./concat.ts";
import { checkReduction } from "./cross-entropy.ts";
import { checkLabels, countLabels, crossEntropyGrad, crossEntropyRows, labelDomain } from "./cross-entropy-rows.ts";
import { defineOp } from "./define-op.ts";
import { div } from "./div.ts";
import { expand, sum } from "./sum.ts";
import { linear, linearDweight, linearDx } from "./linear.ts";
import { full } from "./create.ts";
import { reshape } from "./reshape.ts";

interface LossAttrs {
  readonly ignoreIndex: number;
  readonly reduction: "mean" | "sum";
  readonly chunk: number;
  readonly wantsX: boolean;
  readonly wantsWeight: boolean;
}

/** All parts in one pass over the logits. False: not computed. */
function lossParts(
  { x, weight, labels }: { readonly x: Float32Array; readonly weight: Weight; readonly labels: TypedArray },
  parts: Float32Array,
  { t, d, v }: Readonly<Record<"t" | "d" | "v", number>>,
  { ignoreIndex, reduction, chunk, wantsX, wantsWeight }: LossAttrs,
): boolean {
  checkLabels("linearCrossEntropy", labels, v, ignoreIndex);
  const counted = labels.filter((label: number) => label !== ignoreIndex).length;
  const scale = reduction === "mean" ? 1 / counted : 1;
  const weightAt = 1 + (wantsX ? t * d : 0);
  const total = linearLossF32({
    x, weight, labels, ignoreIndex, d, v, chunk, scale,
    dx: wantsX ? parts.subarray(1, weightAt) : null,
    dweight: wantsWeight ? parts.subarray(weightAt) : null,
  });
  if (total === false) return false;
  parts[0] = scale * total;
  return true;
}

/**
 * `linearCrossEntropy` of rows together with its cotangents, one after the other in one row of numbers: the
 * loss, then (where `x` and `weight` are set) the cotangents of x and of the weight. On the CPU one pass over
 * the logits gives all of them.
 */
export const linearLossParts = defineOp("linearLossParts", "x[t, d], weight[v, d]:float|stored, labels[t]:i32 -> parts[...]", {
  attrs: {
    ignoreIndex: { default: -100 as number },
    reduction: { default: "mean" as "mean" | "sum" },
    chunk: { default: 256 as number },
    wantsX: { default: true as boolean },
    wantsWeight: { default: true as boolean },
  },
  shape({ x, weight }, { reduction, wantsX, wantsWeight }, fail) {
    checkReduction(reduction, fail, ["mean", "sum"]);
    return [1 + (wantsX ? sizeOf(x) : 0) + (wantsWeight ? sizeOf(weight) : 0)];
  },
  reference({ x, weight, labels }, parts, { t, d, v }, { ignoreIndex, reduction, wantsX, wantsWeight }) {
    checkLabels("linearCrossEntropy", labels, v, ignoreIndex);
    const counted = labels.filter((label: number) => label !== ignoreIndex).length;
    const share = reduction === "mean" ? 1 / counted : 1;
    const [xAt, weightAt] = [1, 1 + (wantsX ? t * d : 0)];
    const logits = new Float64Array(v);
    for (let row = 0; row < t; row++) {
      if (labels[row] === ignoreIndex) continue;
      logits.fill(0);
      for (let j = 0; j < v; j++) for (let q = 0; q < d; q++) logits[j] += x[row * d + q] * weight[j * d + q];
      const top = logits.reduce((a, b) => Math.max(a, b));
      const total = logits.reduce((sum, logit) => sum + Math.exp(logit - top), 0);
      parts[0] += share * (top + Math.log(total) - logits[labels[row]]);
      for (let j = 0; j < v; j++) {
        const dlogit = share * (Math.exp(logits[j] - top) / total - (j === labels[row] ? 1 : 0));
        for (let q = 0; q < d; q++) {
          if (wantsX) parts[xAt + row * d + q] += dlogit * weight[j * d + q];
          if (wantsWeight) parts[weightAt + j * d + q] += dlogit * x[row * d + q];
        }
      }
    }
    if (counted === 0 && reduction === "mean") parts[0] = Number.NaN;
  },
  fast: {
    simd: ({ x, weight, labels }, parts, dims, attrs) =>
      lossParts({ x, weight: { format: "f32", data: weight }, labels }, parts, dims, attrs),
    packed: {
      simd: (format) => (data, { x, labels }, parts, dims, attrs) => lossParts({ x, weight: { format, data }, labels }, parts, dims, attrs),
    },
  },
  decompose({ x, weight, labels }, { ignoreIndex, reduction, wantsX, wantsWeight }) {
    const logits = linear(x, weight);
    const one = full([], 1, { dtype: x.dtype, device: x.device });
    const share = reduction === "mean" ? div(one, countLabels(labels, ignoreIndex, x.dtype)) : one;
    const each = expand(share, { shape: labels.shape });
    const dlogits = crossEntropyGrad(logits, labels, each, { ignoreIndex });
    const flat = (part: typeof x) => reshape(part, { shape: [part.size] });
    const losses = crossEntropyRows(logits, labels, { ignoreIndex });
    const loss = reduction === "mean" ? div(sum(losses), countLabels(labels, ignoreIndex, x.dtype)) : sum(losses);
    return concat([
      flat(loss),
      ...(wantsX ? [flat(linearDx(dlogits, weight))] : []),
      ...(wantsWeight ? [flat(linearDweight(dlogits, x))] : []),
    ]);
  },
  domain: { labels: labelDomain },
  draw(draw) {
    const reduction = draw.pick(["mean", "sum"]);
    const [t, d, v] = [draw.int(reduction === "mean" ? 1 : 0, 5), draw.int(1, 4), draw.int(2, 5)];
    return {
      shapes: { x: [t, d], weight: [v, d], labels: [t] },
      attrs: {
        reduction,
        chunk: draw.pick([1, 2, 256]),
        wantsX: draw.pick([true, false]),
        wantsWeight: draw.pick([true, false]),
      },
    };
  },
});
