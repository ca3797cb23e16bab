import { CpuStorage } from "../tensor/cpu-storage.ts";
import { type DType, type HalfFormat, isHalf, type TypedArray } from "../tensor/dtype.ts";
import type { OpPlan } from "../tensor/op-plan.ts";
import type { OpSpec } from "../tensor/op-spec.ts";
import { PackedStorage } from "../tensor/packed-storage.ts";
import { broadcastStrides, type Shape, sizeOf } from "../tensor/shape.ts";
import type { Operand } from "../tensor/signature.ts";
import type { Storage } from "../tensor/storage.ts";
import { encode } from "../tensor/stored-format.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { kernelFault } from "./self-check.ts";
import { decodeStored } from "./stored.ts";

/**
 * Which implementation runs where the dtype is f32: the fast one where there is one and it has proved itself here, the fast
 * one whatever it computes, or always the reference.
 */
export type CpuPath = "proven" | "fast" | "reference";

/**
 * Run an op on the CPU. Broadcast batch axes are expanded and stored formats decoded first, so that references stay plain loops; a
 * result in a stored format is computed in f32.
 */
export function runOnCpu(
  spec: OpSpec,
  inputs: readonly Tensor[],
  plan: OpPlan,
  attrs: Readonly<Record<string, unknown>>,
  dtype: DType,
  path: CpuPath,
): Storage {
  if (isHalf(dtype)) return packed(dtype, runOnCpu(spec, inputs, plan, attrs, "f32", path) as CpuStorage);
  const fast = path !== "reference" && dtype === "f32" ? spec.fast : undefined;
  const stored = storedAmong(inputs);
  const kernel = stored && fast?.packed?.simd?.(stored.dtype, plan.dims);
  const simd = path === "proven" && fast?.simd && kernelFault(spec) ? undefined : fast?.simd;
  const size = sizeOf(plan.output);
  const out = CpuStorage.uninitialized(dtype, size);
  if (size === 0) return out;
  const named: Record<string, TypedArray> = {};
  const floats = named as Record<string, Float32Array>;
  const temporaries: CpuStorage[] = [];
  const expand = (ofStored: boolean): void => {
    for (let i = 0; i < inputs.length; i++) {
      if ((inputs[i].storage === stored) !== ofStored) continue;
      const operand = spec.signature.inputs[i];
      named[operand.name] = elementsOf(inputs[i], operand, plan.batch, temporaries);
    }
  };
  try {
    expand(false);
    if (stored && kernel?.(stored.data, floats, out.data as Float32Array, plan.dims, attrs, plan.params)) return out;
    if (stored) expand(true);
    if (simd?.(floats, out.data as Float32Array, plan.dims, attrs, plan.params)) return out;
    out.data.fill(0);
    spec.reference(named, out.data, plan.dims, attrs, plan.params);
  } catch (error) {
    out.release();
    throw error;
  } finally {
    for (const temporary of temporaries) temporary.release();
  }
  return out;
}

function storedAmong(inputs: readonly Tensor[]): PackedStorage | undefined {
  for (const { storage } of inputs) if (storage instanceof PackedStorage) return storage;
  return undefined;
}

/** `plain`, which is used up, in a stored format. */
function packed(format: HalfFormat, plain: CpuStorage): PackedStorage {
  try {
    return new PackedStorage(format, encode(format, plain.data as Float32Array));
  } finally {
    plain.release();
  }
}

/** What an implementation that knows no stored format reads of an operand; what had to be made for it goes into `temporaries`. */
function elementsOf(tensor: Tensor, operand: Operand, batch: Shape, temporaries: CpuStorage[]): TypedArray {
  const { storage } = tensor;
  if (!(storage instanceof PackedStorage)) return expandBatch(tensor, operand, batch, temporaries);
  const temporary = CpuStorage.uninitialized("f32", storage.length);
  temporaries.push(temporary);
  decodeStored({ format: storage.dtype, data: storage.data }, temporary.data as Float32Array);
  return temporary.data;
}

/** The elements of an operand with its `*` axes repeated to the broadcast shape. */
function expandBatch(tensor: Tensor, { dims }: Operand, batch: Shape, temporaries: CpuStorage[]): TypedArray {
  const { data } = tensor.storage as CpuStorage;
  if (dims?.[0]?.kind !== "batch") return data;
  const { shape, dtype } = tensor;
  if (shape === batch) return data;
  const own = shape.slice(0, shape.length - dims.length + 1);
  const [before, after] = [sizeOf(own), sizeOf(batch)];
  if (before === after) return data;
  const temporary = CpuStorage.uninitialized(dtype, after * sizeOf(shape.slice(own.length)));
  temporaries.push(temporary);
  repeatAxes(data, temporary.data, own, batch);
  return temporary.data;
}

/** Fill `out` with the blocks of `data`, one for each element of `own`, repeated along the axes where `batch` is longer. */
function repeatAxes(data: TypedArray, out: TypedArray, own: Shape, batch: Shape): void {
  const strides = broadcastStrides(own, batch);
  const block = data.length / sizeOf(own);
  // Axes at the end that repeat nothing are copied whole; where there are none, those that repeat one number are filled.
  let rank = batch.length;
  while (rank > 0 && own[own.length - batch.length + rank - 1] === batch[rank - 1]) rank--;
  const row = block * sizeOf(batch.slice(rank));
  let fill = 1;
  while (row === 1 && rank > 0 && strides[rank - 1] === 0) fill *= batch[--rank];
  const step = row * fill;
  // Axes in front that repeat everything behind them are copied from the first part.
  let end = out.length;
  for (let axis = 0; axis < rank && strides[axis] === 0; axis++) end /= batch[axis];
  for (let i = 0; i * step < end; i++) {
    let rest = i;
    let from = 0;
    for (let axis = rank - 1; axis >= 0; axis--) {
      from += (rest % batch[axis]) * strides[axis];
      rest = Math.floor(rest / batch[axis]);
    }
    if (row === 1) out.fill(data[from], i * step, (i + 1) * step);
    else out.set(data.subarray(from * block, from * block + row), i * step);
  }
  for (let done = end; done < out.length; done *= 2) out.copyWithin(done, 0, Math.min(done, out.length - done));
}
