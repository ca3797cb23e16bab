import { CpuStorage } from "../tensor/cpu-storage.ts";
import { allocate, type DType, type TypedArray } from "../tensor/dtype.ts";
import type { OpPlan } from "../tensor/op-plan.ts";
import type { OpSpec } from "../tensor/op-spec.ts";
import { broadcastStrides, sameShape, type Shape, sizeOf } from "../tensor/shape.ts";
import type { Operand } from "../tensor/signature.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Which implementation runs: the fast one where there is one and the dtype is f32, or always the reference. */
export type CpuPath = "fast" | "reference";

/** Run an op on the CPU. Broadcast batch axes are expanded first, so that references stay plain loops. */
export function runOnCpu(
  spec: OpSpec,
  inputs: readonly Tensor[],
  plan: OpPlan,
  attrs: Readonly<Record<string, unknown>>,
  dtype: DType,
  path: CpuPath,
): CpuStorage {
  const out = CpuStorage.zeros(dtype, sizeOf(plan.output));
  if (out.length === 0) return out;
  const named: Record<string, TypedArray> = {};
  spec.signature.inputs.forEach((operand, i) => {
    named[operand.name] = expandBatch(inputs[i], operand, plan.batch);
  });
  const simd = path === "fast" && dtype === "f32" ? spec.fast?.simd : undefined;
  if (simd) simd(named as Record<string, Float32Array>, out.data as Float32Array, plan.dims, attrs, plan.params);
  else spec.reference(named, out.data, plan.dims, attrs, plan.params);
  return out;
}

/** The elements of an operand with its `*` axes repeated to the broadcast shape. */
function expandBatch(tensor: Tensor, operand: Operand, batch: Shape): TypedArray {
  const data = tensor.dataSync();
  const { shape, dtype } = tensor;
  if (!operand.dims?.some((dim) => dim.kind === "batch")) return data;
  const inner = operand.dims.length - 1;
  const own = shape.slice(0, shape.length - inner);
  if (sameShape(own, batch) || sizeOf(own) === sizeOf(batch)) return data;
  const row = sizeOf(shape.slice(shape.length - inner));
  const count = sizeOf(batch);
  const strides = broadcastStrides(own, batch);
  const out = allocate(dtype, count * row);
  for (let i = 0; i < count; i++) {
    let rest = i;
    let from = 0;
    for (let axis = batch.length - 1; axis >= 0; axis--) {
      from += (rest % batch[axis]) * strides[axis];
      rest = Math.floor(rest / batch[axis]);
    }
    if (row === 1) out[i] = data[from];
    else out.set(data.subarray(from * row, (from + 1) * row), i * row);
  }
  return out;
}
