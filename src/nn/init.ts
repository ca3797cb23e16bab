import { rand } from "../ops/index.ts";
import { CpuStorage } from "../tensor/cpu-storage.ts";
import { Parameter } from "../tensor/parameter.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Makes the first value of a weight. */
export type WeightInit = (shape: Shape) => Tensor;

/** A parameter that takes over a freshly made tensor. */
export function parameterOf(value: Tensor): Parameter {
  const parameter = new Parameter(value);
  value.dispose();
  return parameter;
}

/** PyTorch's default for a Linear: kaiming-uniform with a = √5, which is U(±1/√fanIn). */
export const uniformInit =
  (fanIn: number): WeightInit =>
  (shape) => {
    const bound = fanIn > 0 ? 1 / Math.sqrt(fanIn) : 0;
    return rand(shape, { low: -bound, high: bound });
  };

/** Any values on the CPU, in memory that is not touched: the place of a weight that is about to be loaded. */
export const placeholderInit: WeightInit = (shape) =>
  new Tensor(shape, CpuStorage.uninitialized("f32", sizeOf(shape)));
