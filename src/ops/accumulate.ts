import { accumulateOnGpu, clearOnGpu } from "../gpu/accumulate.ts";
import type { GpuStorage } from "../gpu/gpu-storage.ts";
import { DeviceError } from "../tensor/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

const storagesOf = (tensors: readonly Tensor[]): GpuStorage[] =>
  tensors.map((tensor) => {
    if (tensor.device === "webgpu" && tensor.dtype === "f32") return tensor.storage as GpuStorage;
    throw new DeviceError(`accumulate: it works on f32 tensors on webgpu, got ${String(tensor)}`);
  });

/**
 * Add each of `terms` to one of `sums` in place, on webgpu: unlike results of ops, the sums stay where they are in every run of a
 * captured function. Not recorded. `sums` come from `zerosLike`, and nothing may need their elements as they were.
 *
 * @throws DeviceError for tensors that are not f32 on webgpu
 */
export function accumulateMany(sums: readonly Tensor[], terms: readonly Tensor[]): void {
  const [into, from] = [storagesOf(sums), storagesOf(terms)];
  if (into.length > 0) accumulateOnGpu(into[0].gpu, into, from);
}

/** Make the sums of `accumulateMany` zero again. */
export function clearMany(sums: readonly Tensor[]): void {
  const storages = storagesOf(sums);
  if (storages.length > 0) clearOnGpu(storages[0].gpu, storages);
}
