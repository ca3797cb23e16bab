import { abs, add, concat, full, max, mul, noGrad, rand, tidy } from "../ops/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { adapterDType, kaimingBound, LowRankLayer, type Strength, trainable, type Directions, type Factors } from "./adapter-layer.ts";
import { foldPaper } from "./fold-paper.ts";
import { columnNorms, deloraFactors, type DeloraTensors } from "./formula.ts";

/** The paper's formula has no bound from below; this one only makes a direction of length 0 no term instead of NaN. */
const UNBOUNDED = 1e-12;

/** What an adapter of the paper's DeLoRA starts from. */
export interface PaperDeloraInit {
  readonly r: number;
  /** First value of the strength. */
  readonly lambda: number;
  /** Rate of dropout on the input. */
  readonly dropout: number;
}

/**
 * The paper's own DeLoRA (Bini et al. 2025, equation 9): A and B start random, and the update they start with is
 * subtracted for good, ΔW = f(A, B, λ) - f(A₀, B₀, λ₀), so that training sets out from W with norms that need no
 * bound from below. f scales by the column norms of W, as the paper's code does. ‖ΔW‖_F ≤ (|λ| + |λ₀|)·max_j w_j.
 */
export class PaperDeloraLayer extends LowRankLayer {
  static override readonly stateNames = {
    a: "delora_A",
    b: "delora_B",
    lambda: "delora_lambda",
    wNorm: "delora_w_norm",
    initialA: "delora_initial_A",
    initialB: "delora_initial_B",
    initialLambda: "delora_initial_lambda",
  };
  static override readonly buffers = ["wNorm", "initialA", "initialB", "initialLambda"];

  override readonly r: number;
  override readonly dropout: number;
  /** [r, in] */
  readonly a: Parameter;
  /** [out, r] */
  readonly b: Parameter;
  /** [1] */
  readonly lambda: Parameter;
  /** [in]; never trained */
  readonly wNorm: Tensor;
  /** A₀: [r, in] */
  readonly initialA: Tensor;
  /** B₀: [out, r] */
  readonly initialB: Tensor;
  /** λ₀: [1] */
  readonly initialLambda: Tensor;

  /** @param weight the frozen weight [out, in] */
  constructor(weight: Tensor, { r, lambda, dropout }: PaperDeloraInit) {
    super();
    const [outFeatures, inFeatures] = weight.shape;
    const like = { dtype: adapterDType(weight), device: weight.device };
    const uniform = (shape: number[], bound: number): Tensor =>
      rand(shape, { low: -bound, high: bound, ...like });
    this.r = r;
    this.dropout = dropout;
    this.a = trainable(uniform([r, inFeatures], kaimingBound(inFeatures)), weight);
    this.b = trainable(uniform([outFeatures, r], kaimingBound(r)), weight);
    this.lambda = trainable(full([1], lambda, like), weight);
    this.wNorm = columnNorms(weight);
    this.initialA = keep(this.a.detach());
    this.initialB = keep(this.b.detach());
    this.initialLambda = keep(this.lambda.detach());
  }

  override directions(): Directions {
    return this;
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

  override strengthParameters(): Parameter[] {
    return [this.lambda];
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
