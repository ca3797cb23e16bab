import { type CpuPath, runOnCpu } from "../cpu/run-reference.ts";
import { CpuStorage } from "../tensor/cpu-storage.ts";
import { allocate, type DType, isStored, type PackedArray, type TypedArray } from "../tensor/dtype.ts";
import { ArgumentError, DeviceError } from "../tensor/errors.ts";
import { PackedStorage } from "../tensor/packed-storage.ts";
import { keep } from "../tensor/scope.ts";
import type { Device } from "../tensor/storage.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Backend } from "./backend.ts";

let cpuPath: CpuPath = "proven";

/** Choose between the fast CPU implementations and the references, for tests that hold one against the other. */
export function setCpuPath(path: CpuPath): void {
  cpuPath = path;
}

const cpu: Backend = {
  device: "cpu",
  supports: (spec, dtype) => !spec.composite || dtype === "f64" || cpuPath === "reference",
  run: (spec, inputs, plan, attrs, dtype) => runOnCpu(spec, inputs, plan, attrs, dtype, cpuPath),
  upload: (dtype, data) =>
    isStored(dtype) ? new PackedStorage(dtype, data as PackedArray) : CpuStorage.copyOf(dtype, data as TypedArray),
};

const backends = new Map<Device, Backend>([["cpu", cpu]]);
let current: Device = "cpu";

/** The device of new tensors: set by `init()`, the CPU before. */
export const defaultDevice = (): Device => current;

/** Make a device available, or (null) forget it. */
export function registerBackend(device: Device, backend: Backend | null): void {
  if (backend) backends.set(device, backend);
  else backends.delete(device);
}

/** Make new tensors on `device` from now on. @throws DeviceError when it is not open */
export function setDefaultDevice(device: Device): void {
  backendOf(device);
  current = device;
}

/** The implementation of a device. @throws DeviceError when it is not open */
export function backendOf(device: Device): Backend {
  const backend = backends.get(device);
  if (backend) return backend;
  if (device === "webgpu") throw new DeviceError('the webgpu device is not open; call await init({ device: "webgpu" }) first');
  throw new DeviceError(`unknown device "${String(device)}"; choose "cpu" or "webgpu"`);
}

/** Run `make`, whose tensors on `device` outlive the function that is being captured, if one is: a replay does not make them again. */
export function lasting<T>(device: Device, make: () => T): T {
  const backend = backendOf(device);
  return backend.lasting ? backend.lasting(make) : make();
}

const scalars = new Map<string, Tensor>();

/** A 0-d tensor of a number, with the dtype and device of `like`. Kept for the next time. */
export function scalarLike(like: Pick<Tensor, "dtype" | "device">, value: number): Tensor {
  const { dtype, device } = like;
  const key = `${device} ${dtype} ${Object.is(value, -0) ? "-0" : value}`;
  const known = scalars.get(key);
  if (known && !known.disposed) return known;
  if (scalars.size > 256) forgetScalars();
  const made = lasting(device, () => keep(fromArray(fill(dtype, 1, value), [], dtype, device)));
  scalars.set(key, made);
  return made;
}

/** Drop the kept scalars; graphs that hold one keep it alive. */
export function forgetScalars(): void {
  scalars.clear();
}

/** A new tensor over `data`, packed for a stored format, which it may keep. */
export function fromArray(data: TypedArray | PackedArray, shape: readonly number[], dtype: DType, device: Device): Tensor {
  if (dtype === "f64" && device === "webgpu") {
    throw new ArgumentError("tensor", "dtype", "f32, i32 or bool on webgpu", "f64", "f64 exists on the CPU only");
  }
  return new Tensor(shape, backendOf(device).upload(dtype, data));
}

/** A typed array of one value. */
export const fill = (dtype: DType, length: number, value: number): TypedArray => allocate(dtype, length).fill(value);
