import { isGradEnabled, noGrad, tidy } from "../ops/index.ts";
import { DisposedError } from "../tensor/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { TensorModule } from "./module.ts";

/** What `LlamaForCausalLM.forward` gives. */
export class CausalLMOutput {
  /** Cross-entropy of the labels, a scalar; undefined without labels. */
  readonly loss: Tensor | undefined;
  /** The last hidden state, normalised: [batch, time, hidden]. `loss.backward()` frees it. */
  readonly lastHiddenState: Tensor;
  readonly #head: TensorModule;
  readonly #records = isGradEnabled();
  #logits: Tensor | null = null;

  constructor(loss: Tensor | undefined, lastHiddenState: Tensor, head: TensorModule) {
    this.loss = loss;
    this.lastHiddenState = lastHiddenState;
    this.#head = head;
  }

  /**
   * Scores of the next token at each position: [batch, time, vocab]. Computed at the first access, so that
   * training, which needs only the loss, never holds them.
   *
   * @throws DisposedError when first read after `loss.backward()`
   */
  get logits(): Tensor {
    if (this.#logits && !this.#logits.disposed) return this.#logits;
    if (this.lastHiddenState.disposed) {
      throw new DisposedError(
        "logits: the hidden state they are computed from was freed; read logits before loss.backward()",
      );
    }
    const compute = (): Tensor => tidy(() => this.#head.forward(this.lastHiddenState));
    this.#logits = this.#records ? compute() : noGrad(compute);
    return this.#logits;
  }
}
