import { abs, add, concat, max, mul, noGrad, tidy } from "../ops/index.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Factors, Strength } from "./adapter-layer.ts";
import { type DeloraInit, DeloraLayer } from "./delora-layer.ts";
import { foldPaper } from "./fold-paper.ts";
import { deloraFactors, type DeloraTensors } from "./formula.ts";

/** The paper's formula has no bound from below; this one only makes a direction of length 0 no term instead of NaN. */
const UNBOUNDED = 1e-12;

/**
 * The paper's own DeLoRA (Bini et al. 2025, equation 9): A and B start random, and the update they start with is
 * subtracted for good, ΔW = f(A, B, λ) - f(A₀, B₀, λ₀), so that training sets out from W with norms that need no
 * bound from below. f scales by the column norms of W, as the paper's code does. ‖ΔW‖_F ≤ (|λ| + |λ₀|)·max_j w_j.
 */
export class PaperDeloraLayer extends DeloraLayer {
  static override readonly stateNames = {
    ...DeloraLayer.stateNames,
    initialA: "delora_initial_A",
    initialB: "delora_initial_B",
    initialLambda: "delora_initial_lambda",
  };
  static override readonly buffers = [...DeloraLayer.buffers, "initialA", "initialB", "initialLambda"];

  /** A₀: [r, in] */
  readonly initialA: Tensor;
  /** B₀: [out, r] */
  readonly initialB: Tensor;
  /** λ₀: [1] */
  readonly initialLambda: Tensor;

  /** @param weight the frozen weight [out, in] */
  constructor(weight: Tensor, init: Omit<DeloraInit, "initWeights">) {
    super(weight, { ...init, initWeights: false });
    this.initialA = keep(this.a.detach());
    this.initialB = keep(this.b.detach());
    this.initialLambda = keep(this.lambda.detach());
  }

  override factors(): Factors {
    const now = deloraFactors(this, UNBOUNDED);
    const first = deloraFactors(this.#first, UNBOUNDED);
    return {
      down: concat([now.down, first.down], { axis: 0 }),
      up: concat([now.up, mul(first.up, -1)], { axis: 1 }),
    };
  }

  /** The tensors of a PEFT DeLoRA of twice the rank with the same update: see `foldPaper`. */
  override exported(): Map<string, Tensor> {
    const { a, b, lambda, wNorm } = noGrad(() => tidy(() => foldPaper({ now: this, first: this.#first })));
    return new Map([["delora_A", a], ["delora_B", b], ["delora_lambda", lambda], ["delora_w_norm", wNorm]]);
  }

  override strength(): Strength {
    const bound = (): Tensor => mul(add(abs(this.lambda), abs(this.initialLambda)), max(this.wNorm));
    return { lambda: this.lambda, bound: tidy(bound) };
  }

  get #first(): DeloraTensors {
    const { wNorm, initialA: a, initialB: b, initialLambda: lambda } = this;
    return { a, b, lambda, wNorm };
  }
}
