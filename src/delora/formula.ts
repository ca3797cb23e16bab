import { deloraUp, mul, noGrad, norm, tidy } from "../ops/index.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Factors, roundingOf } from "./adapter-layer.ts";

/** PEFT's bound from below on ‖a_i‖ and ‖b_i‖: with it the update of B = 0 is exactly zero. */
export const NORM_EPSILON = 1e-4;

/** What one DeLoRA adapter holds for a weight W [out, in]. */
export interface DeloraTensors {
  /** The rows a_i: [r, in]. */
  readonly a: Tensor;
  /** The columns b_i: [out, r]. */
  readonly b: Tensor;
  /** The strength: [1]. */
  readonly lambda: Tensor;
  /** L2 norm of each column of W, fixed: [in]. */
  readonly wNorm: Tensor;
}

/** w of a base weight [out, in]: the L2 norm of each column, [in], in the precision that adapters start with. */
export const columnNorms = (weight: Tensor): Tensor => keep(noGrad(() => tidy(() => roundingOf(weight)(norm(weight, { axes: 0 })))));

/**
 * The DeLoRA update ΔW = B·diag(s)·A·diag(w) with s_i = (λ/r) / (max(‖a_i‖, ε)·max(‖b_i‖, ε)), as two factors (Bini et al.,
 * "Decoupling Angles and Strength in Low-rank Adaptation", ICLR 2025, equation 8 with PEFT's clamp and column norms). Forward
 * multiplies by them in turn, merging multiplies them together, and as LoRA matrices they are the exact conversion.
 * ‖ΔW‖_F ≤ |λ|·max_j w_j.
 *
 * @param epsilon ε; next to nothing in the paper's formula, which has none
 */
export function deloraFactors({ a, b, lambda, wNorm }: DeloraTensors, epsilon = NORM_EPSILON): Factors {
  return { down: mul(a, wNorm), up: deloraUp(a, b, lambda, { eps: epsilon }) };
}
