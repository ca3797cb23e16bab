import { IGNORE_LABEL } from "../io/index.ts";
import { cast, crossEntropy, embedding, linearCrossEntropy, mul } from "../ops/index.ts";
import { rows } from "../ops/rows.ts";
import { ArgumentError } from "../tensor/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Linear } from "./linear.ts";
import type { Targets } from "./llama-inputs.ts";
import type { TensorModule } from "./module.ts";

/**
 * Cross-entropy of the targets; without the logits where the head is a plain matrix.
 *
 * @param hidden [batch, time, hidden]
 * @param numItems see `CausalLMInputs.numItemsInBatch`
 */
export function lossOf(hidden: Tensor, head: TensorModule, { labels, positions }: Targets, numItems: number | Tensor | undefined): Tensor {
  const share = typeof numItems === "number" ? shareOf(numItems) : numItems;
  const attrs = { ignoreIndex: IGNORE_LABEL, reduction: share === undefined ? "mean" : "sum" } as const;
  const states = positions ? embedding(positions, rows(hidden)) : hidden;
  const loss =
    head instanceof Linear && !head.bias
      ? linearCrossEntropy(states, head.weight, labels, attrs)
      : crossEntropy(head.forward(states), labels, attrs);
  if (share === undefined) return loss;
  return mul(loss, typeof share === "number" || share.dtype === loss.dtype ? share : cast(share, { dtype: loss.dtype }));
}

/** What the sum of the losses is multiplied by. @throws ArgumentError unless the number is above 0 */
export function shareOf(numItems: number): number {
  if (numItems > 0) return 1 / numItems;
  throw new ArgumentError("forward", "numItemsInBatch", "a number above 0", String(numItems));
}
