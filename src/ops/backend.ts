import type { DType, PackedArray, TypedArray } from "../tensor/dtype.ts";
import type { OpPlan } from "../tensor/op-plan.ts";
import type { OpSpec } from "../tensor/op-spec.ts";
import type { Device, Storage } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What a device does for the ops. */
export interface Backend {
  readonly device: Device;
  /** Whether it has an implementation of the op itself for outputs of `dtype`; else `decompose` runs. */
  supports(spec: OpSpec, dtype: DType): boolean;
  /** Compute the output of a checked call. */
  run(spec: OpSpec, inputs: readonly Tensor[], plan: OpPlan, attrs: Readonly<Record<string, unknown>>, dtype: DType): Storage;
  /** Put elements on the device, packed ones of a stored format; may keep the array. */
  upload(dtype: DType, data: TypedArray | PackedArray): Storage;
  /** Run `make`, whose tensors outlive the function that is being captured, if one is. */
  lasting?<T>(make: () => T): T;
}
