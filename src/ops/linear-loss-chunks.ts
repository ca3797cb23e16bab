import { tidy } from "../autograd/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { add } from "./add.ts";
import { concat } from "./concat.ts";
import { countLabels, crossEntropyGrad, crossEntropyRows } from "./cross-entropy-rows.ts";
import { scalarLike } from "./device.ts";
import { div } from "./div.ts";
import { linear, linearDweight, linearDx } from "./linear.ts";
import { mul } from "./mul.ts";
import { slice } from "./slice.ts";
import { expand, sum } from "./sum.ts";

/** How a loss over rows is taken, and which cotangents are wanted beside it. */
export interface ChunkedLoss {
  readonly ignoreIndex: number;
  readonly reduction: "mean" | "sum";
  /** Rows of logits at a time. */
  readonly chunk: number;
  readonly wantsX: boolean;
  readonly wantsWeight: boolean;
}

/**
 * What `linearLossParts` computes, in ops that have kernels everywhere: the logits of `chunk` rows at a time make way for their
 * cotangents. Not recorded.
 *
 * @returns the loss, then the cotangents that are wanted
 */
export function lossInChunks(x: Tensor, weight: Tensor, labels: Tensor, how: ChunkedLoss): Tensor[] {
  const { ignoreIndex, reduction, chunk } = how;
  const one = scalarLike(x, 1);
  const share = reduction === "mean" ? div(one, countLabels(labels, ignoreIndex, x.dtype)) : one;
  const losses: Tensor[] = [];
  const dxs: Tensor[] = [];
  let dweight: Tensor | null = null;
  for (let start = 0; start === 0 || start < x.shape[0]; start += chunk) {
    const end = Math.min(start + chunk, x.shape[0]);
    const rowsOf = (whole: Tensor): Tensor => (end - start === whole.shape[0] ? whole : slice(whole, { axis: 0, start, end }));
    const before: Tensor | null = dweight;
    const parts: Parts = tidy(() => {
      const own = chunkParts(rowsOf(x), weight, rowsOf(labels), share, how);
      return { ...own, dweight: before && own.dweight ? add(before, own.dweight) : own.dweight };
    });
    before?.dispose();
    losses.push(parts.loss);
    if (parts.dx) dxs.push(parts.dx);
    dweight = parts.dweight;
  }
  const loss = mul(losses.reduce((a, b) => add(a, b)), share);
  return [loss, ...(dxs.length > 1 ? [concat(dxs)] : dxs), ...(dweight ? [dweight] : [])];
}

interface Parts {
  /** The sum of the rows' losses. */
  readonly loss: Tensor;
  readonly dx: Tensor | null;
  readonly dweight: Tensor | null;
}

function chunkParts(x: Tensor, weight: Tensor, labels: Tensor, share: Tensor, { ignoreIndex, wantsX, wantsWeight }: ChunkedLoss): Parts {
  const logits = linear(x, weight);
  const loss = sum(crossEntropyRows(logits, labels, { ignoreIndex }));
  if (!wantsX && !wantsWeight) return { loss, dx: null, dweight: null };
  const dlogits = crossEntropyGrad(logits, labels, expand(share, { shape: labels.shape }), { ignoreIndex });
  return { loss, dx: wantsX ? linearDx(dlogits, weight) : null, dweight: wantsWeight ? linearDweight(dlogits, x) : null };
}
