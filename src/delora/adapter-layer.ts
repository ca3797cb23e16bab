import { Module } from "../nn/module.ts";
import { dropout, linear, matmul } from "../ops/index.ts";
import type { DType } from "../tensor/dtype.ts";
import { nextStream } from "../tensor/generator.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Factors } from "./formula.ts";

/** How strong an adapter can be: what DeLoRA's λ means for ‖ΔW‖_F. */
export interface Strength {
  /** [1] */
  readonly lambda: Tensor;
  /** The most that ‖ΔW‖_F can be; [1]. */
  readonly bound: Tensor;
}

/**
 * One adapter's tensors on one Linear. Its state-dict names are those of PEFT's files (`delora_A`,
 * `lora_A.weight`); in a model the adapter's name comes in after the first part (`delora_A.default`,
 * `lora_A.default.weight`).
 */
export abstract class AdapterLayer extends Module {
  /** Rate of dropout on the elements of the input, in training. */
  abstract readonly dropout: number;

  /** What the adapter adds to the Linear's output: x[*, in] -> [*, out]. */
  abstract delta(x: Tensor): Tensor;

  /** What the adapter adds to the Linear's weight: [out, in]. */
  abstract deltaWeight(): Tensor;

  /** The strength and its bound; null for a method without them. */
  strength(): Strength | null {
    return null;
  }

  /** `delta` of the input after this adapter's dropout. */
  forward(x: Tensor): Tensor {
    const p = this.training ? this.dropout : 0;
    return this.delta(p > 0 ? dropout(x, { p, ...nextStream() }) : x);
  }
}

/** An adapter whose update is a product of two matrices. */
export abstract class LowRankLayer extends AdapterLayer {
  /** ΔW = up · down. */
  abstract factors(): Factors;

  override delta(x: Tensor): Tensor {
    const { down, up } = this.factors();
    return linear(linear(x, down), up);
  }

  override deltaWeight(): Tensor {
    const { down, up } = this.factors();
    return matmul(up, down);
  }
}

/** Half the width of PyTorch's kaiming-uniform with a = √5: U(±1/√fanIn). */
export const kaimingBound = (fanIn: number): number => 1 / Math.sqrt(fanIn);

/** Adapters compute in f32, also on a 16-bit base; in f64 on an f64 base. */
export const adapterDType = (weight: Tensor): DType => (weight.dtype === "f64" ? "f64" : "f32");

/** A trainable parameter that takes over a new tensor. */
export function trainable(value: Tensor): Parameter {
  const parameter = new Parameter(value);
  value.dispose();
  return parameter;
}
