import { broadcastShapes, type Shape } from "../tensor/shape.ts";
import { checkLabels, countLabels, crossEntropyRows, labelDomain } from "./cross-entropy-rows.ts";
import { defineOp } from "./define-op.ts";
import { div } from "./div.ts";
import { expand, sum } from "./sum.ts";

/** What becomes of the rows' losses. */
export type LossReduction = "mean" | "sum" | "none";

/**
 * Cross-entropy `log Σ e^logits - logits[label]` of each row, as `torch.nn.functional.cross_entropy`: its
 * mean over the rows whose label is not `ignoreIndex` (NaN when there are none), its sum, or (`none`) each
 * row's own, 0 for ignored ones.
 *
 * @throws ArgumentError on the CPU when a label is neither in [0, v) nor `ignoreIndex`; on webgpu the loss is
 * NaN
 */
export const crossEntropy = defineOp("crossEntropy", "logits[*, v], labels[*]:i32 -> loss[...]", {
  attrs: { ignoreIndex: { default: -100 as number }, reduction: { default: "mean" as LossReduction } },
  shape({ logits, labels }, { reduction }, fail): Shape {
    if (reduction !== "none") return checkReduction(reduction, fail);
    return (
      broadcastShapes(logits.slice(0, -1), labels) ?? fail("the rows of logits and labels do not broadcast")
    );
  },
  composite: true,
  reference({ logits, labels }, loss, { n, v }, { ignoreIndex, reduction }) {
    checkLabels("crossEntropy", labels, v, ignoreIndex);
    let counted = 0;
    for (let row = 0; row < n; row++) {
      if (labels[row] === ignoreIndex) continue;
      counted++;
      let top = -Infinity;
      for (let j = 0; j < v; j++) top = Math.max(top, logits[row * v + j]);
      let total = 0;
      for (let j = 0; j < v; j++) total += Math.exp(logits[row * v + j] - top);
      loss[reduction === "none" ? row : 0] += top + Math.log(total) - logits[row * v + labels[row]];
    }
    if (reduction === "mean") loss[0] /= counted;
  },
  decompose({ logits, labels }, { ignoreIndex, reduction }) {
    const losses = crossEntropyRows(logits, labels, { ignoreIndex });
    if (reduction === "none") return losses;
    if (reduction === "sum") return sum(losses);
    return div(sum(losses), countLabels(expand(labels, { shape: losses.shape }), ignoreIndex, logits.dtype));
  },
  domain: { labels: labelDomain },
  draw(draw) {
    const reduction = draw.pick(["mean", "sum", "none"]);
    // The mean over no rows is NaN.
    const rows = draw.shape(2, 0).map((size) => (reduction === "mean" ? Math.max(1, size) : size));
    const v = draw.int(2, 5);
    const labels = draw.pick([rows, rows.slice(1)]);
    return {
      shapes: { logits: [...rows, v], labels },
      attrs: { reduction, ignoreIndex: reduction === "mean" ? -100 : draw.pick([-100, 0]) },
    };
  },
});

/** The shape of a reduced loss. Calls `fail` for an unknown reduction. */
export function checkReduction(
  reduction: string,
  fail: (why: string) => never,
  known: readonly string[] = ["mean", "sum", "none"],
): Shape {
  return known.includes(reduction) ? [] : fail(`reduction is "${reduction}", not one of ${known.join(", ")}`);
}
