import type { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { add, cast, dropout, linear, matmul, noGrad, tidy } from "../ops/index.ts";
import { isHalf } from "../tensor/dtype.ts";
import { nextStream } from "../tensor/generator.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** How strong an adapter can be: what DeLoRA's λ means for ‖ΔW‖_F. */
export interface Strength {
  /** [1] */
  readonly lambda: Tensor;
  /** The most that ‖ΔW‖_F can be; [1]. */
  readonly bound: Tensor;
}

/** What gives an adapter its directions: the rank-one terms are b_i·a_iᵀ, up to factors. */
export interface Directions {
  /** The rows a_i: [r, in]. */
  readonly a: Tensor;
  /** The columns b_i: [out, r]. */
  readonly b: Tensor;
}

/** The frozen Linear that an adapter stands beside, in one forward pass. */
export interface LinearSite {
  readonly linear: Linear;
  /** What the Linear and the adapters before this one gave: [*, out]. */
  readonly y: Tensor;
}

/**
 * One adapter's tensors on one Linear, and what they do. Its state-dict names are those of PEFT's files
 * (`delora_A`, `lora_A.weight`); in a model the adapter's name comes in after the first part
 * (`delora_A.default`, `lora_A.default.weight`).
 */
export abstract class AdapterLayer extends Module {
  /** Rank of the update. */
  abstract readonly r: number;
  /** Rate of dropout on the elements of the input, in training. */
  abstract readonly dropout: number;

  /** What the adapter adds to the Linear's output: x[*, in] -> [*, out]. */
  abstract forward(x: Tensor, site: LinearSite): Tensor;

  /** PEFT's `get_delta_weight`: [out, in]. */
  abstract deltaWeight(): Tensor;

  /**
   * A weight with the adapter merged into it: [out, in].
   *
   * @param weight the weight so far, of a float dtype, with the adapters that were merged before
   * @param _base the weight without any adapter
   * @param _round rounds to the precision of the base
   */
  merged(weight: Tensor, _base: Tensor, _round: (x: Tensor) => Tensor): Tensor {
    return add(weight, this.deltaWeight());
  }

  /** The strength and its bound; null for a method without them. */
  strength(): Strength | null {
    return null;
  }

  /** Whether what it does to the weight depends on the weight: then it is not `deltaWeight`, see `merged`. */
  get needsBase(): boolean {
    return false;
  }

  /** Its directions; null for a method that has none. */
  directions(): Directions | null {
    return null;
  }

  /** The parameters that are its strength, to be trained with settings of their own; [] for a method without one. */
  strengthParameters(): Parameter[] {
    return [];
  }

  /** What the adapter took over from the base weight and its file holds too; null for a method that takes nothing. */
  ofBase(): Tensor | null {
    return null;
  }

  /** Name in PEFT's file of the tensor that the state dict calls `stateName`. */
  fileName(stateName: string): string {
    return stateName;
  }

  /**
   * The tensors that PEFT's file holds, by their names in it. The caller disposes of those that are not in the
   * state dict.
   */
  exported(): Map<string, Tensor> {
    return new Map([...this.stateDict()].map(([name, tensor]) => [this.fileName(name), tensor]));
  }

  /** The input after this adapter's dropout; itself where there is none. */
  protected dropped(x: Tensor): Tensor {
    const p = this.training ? this.dropout : 0;
    return p > 0 ? dropout(x, { p, ...nextStream() }) : x;
  }
}

/** The update as a product of two matrices: ΔW = up · down. */
export interface Factors {
  /** A·diag(w): [r, in]. */
  readonly down: Tensor;
  /** B·diag(s): [out, r]. */
  readonly up: Tensor;
}

/** An adapter whose update is a product of two matrices. */
export abstract class LowRankLayer extends AdapterLayer {
  /** ΔW = up · down. */
  abstract factors(): Factors;

  override forward(x: Tensor): Tensor {
    return this.delta(this.dropped(x));
  }

  /** The update's product with x[*, in], without dropout: [*, out]. */
  delta(x: Tensor): Tensor {
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
export const adapterDType = (weight: Tensor): "f32" | "f64" => (weight.dtype === "f64" ? "f64" : "f32");

/**
 * Rounds what an adapter starts with to the precision of its base weight, as PEFT does where it makes adapters in the
 * base's dtype before it widens them: on an f16 or bf16 base to that, else not at all.
 */
export function roundingOf({ dtype }: Tensor): (x: Tensor) => Tensor {
  if (!isHalf(dtype)) return (x) => x;
  return (x) => noGrad(() => tidy(() => cast(cast(x, { dtype }), { dtype: "f32" })));
}

/** A trainable parameter for a base weight, that takes over a new tensor and is rounded as `roundingOf` says. */
export function trainable(value: Tensor, weight: Tensor): Parameter {
  const rounded = roundingOf(weight)(value);
  const parameter = new Parameter(rounded);
  rounded.dispose();
  value.dispose();
  return parameter;
}
