import type { Batch } from "../io/index.ts";
import { capture, type Captured, tidy } from "../ops/index.ts";
import { accumulateMany, clearMany } from "../ops/accumulate.ts";
import { zerosLike } from "../ops/many.ts";
import type { Parameter } from "../tensor/parameter.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { TrainingError } from "./training-error.ts";

/** A batch, and what the sum of its losses is divided by. */
export type LossInputs = Batch & { readonly numItemsInBatch?: number };

/** What the Trainer needs of a model: `LlamaForCausalLM` and `PeftModel` have it. */
export interface TrainableModel {
  forward(batch: LossInputs): { readonly loss?: Tensor | undefined };
  /**
   * The inputs of `forward` as tensors, which `forward` takes too. With it, on webgpu, the work for a micro-batch is captured and
   * replayed.
   */
  readonly prepare?: ((batch: LossInputs) => Readonly<Record<string, Tensor>>) | undefined;
  parameters(): readonly Parameter[];
  /** Parameters with the settings `strengthLearningRate` and `strengthWeightDecay`. */
  strengthParameters?(): readonly Parameter[];
  train(): unknown;
  eval(): unknown;
}

/** Runs the micro-batches of a step: forward and backward. */
export interface MicroBatches {
  /** A step begins. */
  begin(): void;
  /** Its share of the step's loss, a scalar; its gradients are added to those of the micro-batches before. */
  run(batch: LossInputs): Tensor;
  /** The step's gradients are wanted in `.grad`. */
  finish(): void;
  dispose(): void;
}

/** How to run the micro-batches of a model. */
export function microBatchesOf(model: TrainableModel, trainable: readonly Parameter[]): MicroBatches {
  const onGpu = trainable.every(({ device, dtype }) => device === "webgpu" && dtype === "f32");
  return onGpu && model.prepare ? new CapturedMicroBatches(model, trainable) : new DirectMicroBatches(model);
}

const lossOf = (model: TrainableModel, inputs: LossInputs): Tensor => {
  const { loss } = model.forward(inputs);
  if (!loss) throw new TrainingError("the model gave no loss for a batch with labels");
  loss.backward();
  return loss;
};

/** The engine adds the gradients up itself. */
class DirectMicroBatches implements MicroBatches {
  readonly #model: TrainableModel;

  constructor(model: TrainableModel) {
    this.#model = model;
  }

  begin(): void {}

  run(batch: LossInputs): Tensor {
    return tidy(() => lossOf(this.#model, batch).detach());
  }

  finish(): void {}

  dispose(): void {}
}

/** Captured, so the gradients are added up where they stay. */
class CapturedMicroBatches implements MicroBatches {
  readonly #model: TrainableModel;
  readonly #trainable: readonly Parameter[];
  /** One for each parameter. */
  readonly #sums: readonly Tensor[];
  /** Those that a backward sweep reached. */
  readonly #reached = new Set<number>();
  readonly #step: Captured<readonly Tensor[]>;
  #names: readonly string[] = [];

  constructor(model: TrainableModel, trainable: readonly Parameter[]) {
    this.#model = model;
    this.#trainable = trainable;
    this.#sums = zerosLike(trainable).map(keep);
    this.#step = capture((...tensors) => [this.#work(tensors)], {
      onRefusal: (reason) => console.warn(`training goes on without captured steps, which are faster: ${reason}`),
    });
  }

  begin(): void {
    clearMany(this.#sums);
  }

  run(batch: LossInputs): Tensor {
    const inputs = this.#model.prepare?.(batch) ?? {};
    const tensors = Object.values(inputs);
    this.#names = Object.keys(inputs);
    try {
      const [loss] = this.#step(...tensors);
      return loss;
    } finally {
      for (const tensor of tensors) tensor.dispose();
    }
  }

  finish(): void {
    for (const i of this.#reached) this.#trainable[i].grad = keep(this.#sums[i].detach());
  }

  dispose(): void {
    this.#step.dispose();
    for (const sum of this.#sums) sum.dispose();
  }

  #work(tensors: readonly Tensor[]): Tensor {
    const inputs = Object.fromEntries(this.#names.map((name, i) => [name, tensors[i]]));
    const loss = lossOf(this.#model, inputs as unknown as LossInputs);
    const reached = [...this.#trainable.keys()].filter((i) => this.#trainable[i].grad);
    accumulateMany(reached.map((i) => this.#sums[i]), reached.map((i) => this.#trainable[i].grad as Tensor));
    for (const i of reached) {
      this.#trainable[i].grad?.dispose();
      this.#trainable[i].grad = null;
      this.#reached.add(i);
    }
    return loss;
  }
}
