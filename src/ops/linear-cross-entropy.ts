import { checkpoint, isGradEnabled, noGrad, record, tidy } from "../autograd/index.ts";
import { isStored } from "../tensor/dtype.ts";
import type { OpSpec } from "../tensor/op-spec.ts";
import { broadcastShapes, sameShape, type Shape, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { add } from "./add.ts";
import { cast } from "./cast.ts";
import { checkReduction, crossEntropy } from "./cross-entropy.ts";
import { checkLabels, countLabels, labelDomain } from "./cross-entropy-rows.ts";
import { defineOp } from "./define-op.ts";
import { div } from "./div.ts";
import { expand } from "./sum.ts";
import { lossInChunks } from "./linear-loss-chunks.ts";
import { linearLossParts } from "./linear-loss-parts.ts";
import { mul } from "./mul.ts";
import { throughDecompose } from "./decompose.ts";
import { linear } from "./linear.ts";
import { reshape } from "./reshape.ts";
import { rows } from "./rows.ts";
import { slice } from "./slice.ts";

/**
 * `crossEntropy(linear(x, weight), labels)` without ever holding more than `chunk` rows of logits: their
 * cotangents are computed with them (in f64, they are computed again in backward). A vocabulary's logits are by
 * far the largest tensor of a language model.
 *
 * @throws ArgumentError on the CPU when a label is neither in [0, v) nor `ignoreIndex`; on webgpu the loss is
 * NaN
 */
export const linearCrossEntropy = defineOp(
  "linearCrossEntropy",
  "x[*, d], weight[v, d]:float|stored, labels[*]:i32 -> loss[...]",
  {
    attrs: {
      ignoreIndex: { default: -100 as number },
      reduction: { default: "mean" as "mean" | "sum" },
      chunk: { default: 256 as number },
    },
    shape(_shapes, { reduction, chunk }, fail) {
      if (!Number.isInteger(chunk) || chunk < 1) fail(`chunk is ${chunk}, not a number of rows`);
      return checkReduction(reduction, fail, ["mean", "sum"]);
    },
    composite: true,
    reference({ x, weight, labels }, loss, { n, d, v }, { ignoreIndex, reduction }) {
      checkLabels("linearCrossEntropy", labels, v, ignoreIndex);
      const logits = new Float64Array(v);
      let counted = 0;
      for (let row = 0; row < n; row++) {
        if (labels[row] === ignoreIndex) continue;
        counted++;
        logits.fill(0);
        for (let j = 0; j < v; j++)
          for (let q = 0; q < d; q++) logits[j] += x[row * d + q] * weight[j * d + q];
        const top = logits.reduce((a, b) => Math.max(a, b));
        loss[0] +=
          top +
          Math.log(logits.reduce((total, logit) => total + Math.exp(logit - top), 0)) -
          logits[labels[row]];
      }
      if (reduction === "mean") loss[0] /= counted;
    },
    decompose({ x, weight, labels }, { ignoreIndex, reduction, chunk }) {
      const shape = broadcastShapes(x.shape.slice(0, -1), labels.shape) ?? labels.shape;
      const flat = reshape(broadcast(labels, shape), { shape: [sizeOf(shape)] });
      const wide = broadcast(x, [...shape, x.shape[x.rank - 1]]);
      const attrs = { ignoreIndex, reduction, chunk };
      if (x.dtype === "f32") return lossWithCotangents(rows(wide), weight, flat, attrs);
      // In f64 no kernel decodes: once, not for each chunk.
      const head = isStored(weight.dtype) ? cast(weight, { dtype: x.dtype }) : weight;
      return chunkedLoss({ x: rows(wide), weight: head, labels: flat }, attrs);
    },
    domain: { labels: labelDomain },
    draw(draw) {
      const reduction = draw.pick(["mean", "sum"]);
      // The mean over no rows is NaN.
      const lead = draw.shape(2, 0).map((size) => (reduction === "mean" ? Math.max(1, size) : size));
      const d = draw.pick([1, 3, 32]);
      const shapes = {
        x: [...lead, d],
        weight: [draw.int(2, 5), d],
        labels: draw.pick([lead, lead.slice(1)]),
      };
      return { shapes, attrs: { reduction, chunk: draw.pick([1, 2, 256]) } };
    },
  },
);

const broadcast = (x: Tensor, shape: Shape): Tensor => (sameShape(x.shape, shape) ? x : expand(x, { shape }));

interface Attrs {
  readonly ignoreIndex: number;
  readonly reduction: "mean" | "sum";
  readonly chunk: number;
}

/**
 * The loss of rows, with the cotangents computed beside it while the logits are at hand: backward only scales
 * them. A sweep that is recorded itself goes through the smaller ops instead.
 */
function lossWithCotangents(x: Tensor, weight: Tensor, labels: Tensor, attrs: Attrs): Tensor {
  const wanted = [x, weight].map((input) => isGradEnabled() && input.requiresGrad);
  const [loss, ...cotangents] = noGrad(() =>
    tidy(() => {
      const [wantsX, wantsWeight] = wanted;
      if (x.device === "webgpu") return lossInChunks(x, weight, labels, { ...attrs, wantsX, wantsWeight });
      const parts = linearLossParts(x, weight, labels, { ...attrs, wantsX, wantsWeight });
      let end = 0;
      const next = (shape: Shape): Tensor => {
        const start = end;
        end += sizeOf(shape);
        return reshape(slice(parts, { axis: 0, start, end }), { shape });
      };
      return [next([]), ...[x, weight].filter((_, i) => wanted[i]).map(({ shape }) => next(shape))];
    }),
  );
  // The cotangents are inputs of the node, so that the graph keeps and frees them.
  return record("linearCrossEntropy", [x, weight, labels, ...cotangents], loss, (dy, needed) => {
    if (isGradEnabled()) {
      const spec = { ...linearCrossEntropy.spec, decompose: chunkedLoss } as unknown as OpSpec;
      return throughDecompose(spec, [x, weight, labels], { ...attrs }, dy, needed.slice(0, 3));
    }
    const left = [...cotangents];
    const own = wanted.map((isWanted) => (isWanted ? (left.shift() ?? null) : null));
    return own.map((cotangent, i) => (cotangent && needed[i] ? mul(cotangent, dy) : null));
  });
}

/** The loss of rows in differentiable ops, `chunk` rows of logits at a time. */
function chunkedLoss(
  { x, weight, labels }: Readonly<Record<"x" | "weight" | "labels", Tensor>>,
  { ignoreIndex, reduction, chunk }: Attrs,
): Tensor {
  const total = totalLoss(x, weight, labels, ignoreIndex, chunk);
  return reduction === "sum" ? total : div(total, countLabels(labels, ignoreIndex, x.dtype));
}

/**
 * The summed loss of the rows. Splits in halves of whole chunks, so that backward pads each row's cotangent
 * log2(chunks) times.
 */
function totalLoss(x: Tensor, weight: Tensor, labels: Tensor, ignoreIndex: number, chunk: number): Tensor {
  const count = x.shape[0];
  if (count <= chunk) {
    const loss = (a: Tensor, b: Tensor, c: Tensor): Tensor =>
      crossEntropy(linear(a, b), c, { ignoreIndex, reduction: "sum" });
    return checkpoint(loss, x, weight, labels);
  }
  const half = Math.ceil(Math.ceil(count / chunk) / 2) * chunk;
  const part = (start: number, end: number): Tensor =>
    totalLoss(
      slice(x, { axis: 0, start, end }),
      weight,
      slice(labels, { axis: 0, start, end }),
      ignoreIndex,
      chunk,
    );
  return add(part(0, half), part(half, count));
}
