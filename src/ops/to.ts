import { ArgumentError } from "../tensor/errors.ts";
import type { Device } from "../tensor/storage.ts";
import { Tensor } from "../tensor/tensor.ts";
import { backendOf } from "./device.ts";

/**
 * A copy of `x` on `device`, as a leaf outside the graph; on the same device a handle on the same elements.
 *
 * @throws DeviceError when the device is not open, ArgumentError for f64 on webgpu
 */
export async function to(x: Tensor, device: Device): Promise<Tensor> {
  const backend = backendOf(device);
  if (x.device === device) return x.detach();
  if (x.dtype === "f64") throw new ArgumentError("to", "x", "f32, i32 or bool to move to webgpu", "f64", 'cast it first: cast(x, { dtype: "f32" })');
  return new Tensor(x.shape, backend.upload(x.dtype, await x.storage.read()));
}
