import { abs, concat, div, equal, greaterEqual, maximum, mul, norm, sign, unsqueeze, where } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type DeloraTensors, NORM_EPSILON } from "./formula.ts";

/** The learned and the first tensors of the paper's DeLoRA, of one rank and one `wNorm`. */
export interface PaperTensors {
  readonly now: DeloraTensors;
  readonly first: DeloraTensors;
}

/**
 * One adapter of PEFT's DeLoRA, of twice the rank, whose update is the paper's f(A, B, λ) - f(A₀, B₀, λ₀) (without a bound
 * on norms) to rounding. λ' = 2·max(|λ|, |λ₀|) gives each of its 2r terms the strength max(|λ|, |λ₀|)/r. The terms of
 * the weaker half get theirs from PEFT's bound ε on norms: ‖b_i‖ = ε·|λ|/max(|λ|, |λ₀|) is below it, so that PEFT divides by ε
 * and not by ‖b_i‖. Signs go into b. A direction of length 0 stands for no term.
 */
export function foldPaper({ now, first }: PaperTensors): DeloraTensors {
  const strongest = maximum(abs(now.lambda), abs(first.lambda));
  return {
    a: concat([unitDirections(now.a, 1), unitDirections(first.a, 1)], { axis: 0 }),
    b: concat(
      [
        mul(unitDirections(now.b, 0), lengthFor(now.lambda, strongest)),
        mul(unitDirections(first.b, 0), mul(lengthFor(first.lambda, strongest), -1)),
      ],
      { axis: 1 },
    ),
    lambda: mul(strongest, 2),
    wNorm: now.wNorm,
  };
}

/** Signed length of the b_i of terms of strength λ, where PEFT gives those of length ε and more the strongest: [1]. */
function lengthFor(lambda: Tensor, strongest: Tensor): Tensor {
  const share = div(lambda, oneForZero(strongest));
  return where(greaterEqual(abs(share), 1), sign(share), mul(share, NORM_EPSILON));
}

/** The vectors along an axis at length 1; those of length 0 as they are. */
function unitDirections(vectors: Tensor, axis: number): Tensor {
  const lengths = unsqueeze(norm(vectors, { axes: axis }), { axis });
  return div(vectors, oneForZero(lengths));
}

const oneForZero = (x: Tensor): Tensor => where(equal(x, 0), 1, x);
