import { add, crossEntropy, type Device, linear, Parameter, relu, type Tensor, tidy } from "../../src/index.ts";
import { AdamW } from "../../src/train/index.ts";
import { type Arrays, tensorsOf, transposed } from "./arrays.ts";
import { Draws } from "./draws.ts";
import type { TrainingStep } from "./training-step.ts";

const [BATCH, INPUTS, HIDDEN, CLASSES] = [64, 784, 256, 10];

/** Losses of some steps that every right implementation has, within 1e-4. */
export const MLP_LOSSES: Readonly<Record<number, number>> = { 0: 2.39828, 3: 0.64597, 10: 0.02334 };

/** A two-layer classifier: 64 rows of 784 random inputs, 256 relu units, 10 classes; weights [out, in]. */
export function mlpArrays(): Arrays {
  const draws = new Draws(7);
  const w1 = transposed(draws.normals(INPUTS * HIDDEN, 0.03), INPUTS, HIDDEN);
  const w2 = transposed(draws.normals(HIDDEN * CLASSES, 0.06), HIDDEN, CLASSES);
  return new Map([
    ["w1", w1],
    ["b1", { shape: [HIDDEN], data: new Float32Array(HIDDEN) }],
    ["w2", w2],
    ["b2", { shape: [CLASSES], data: new Float32Array(CLASSES) }],
    ["x", { shape: [BATCH, INPUTS], data: draws.normals(BATCH * INPUTS, 1) }],
    ["y", { shape: [BATCH], data: draws.integers(BATCH, CLASSES) }],
  ]);
}

/** One step of the classifier: mean cross-entropy, its gradients, Adam at 1e-3. */
export function mlpStep(device: Device): TrainingStep {
  const arrays = tensorsOf(mlpArrays(), device);
  const [x, y] = ["x", "y"].map((name) => arrays.get(name) as Tensor);
  const [w1, b1, w2, b2] = ["w1", "b1", "w2", "b2"].map((name) => new Parameter(arrays.get(name) as Tensor));
  const optimizer = new AdamW([w1, b1, w2, b2], { lr: 1e-3, weightDecay: 0 });
  return () => {
    const loss = tidy(() => crossEntropy(add(linear(relu(add(linear(x, w1), b1)), w2), b2), y));
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss;
  };
}
