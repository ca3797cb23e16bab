import { type Gpu, openGpu } from "../gpu/device.ts";
import { GpuStorage } from "../gpu/gpu-storage.ts";
import type { GpuProfile } from "../gpu/profile.ts";
import { type GpuPath, runOnGpu } from "../gpu/run-kernel.ts";
import { ArgumentError, DeviceError } from "../tensor/errors.ts";
import type { Device } from "../tensor/storage.ts";
import { forgetScalars, registerBackend, setDefaultDevice } from "./device.ts";

/** What a caller may ask for: a device, or `auto` = a hardware GPU where there is one, else the CPU. */
export type DeviceChoice = Device | "auto";

/** What `init` chose, and why. */
export interface DeviceInfo {
  readonly device: Device;
  /** The adapter behind `webgpu`. */
  readonly profile: GpuProfile | null;
  /** One sentence for people. */
  readonly reason: string;
}

let gpu: Gpu | null = null;
let gpuPath: GpuPath = "fast";

/** The open GPU, or null. */
export const currentGpu = (): Gpu | null => gpu;

/** Choose between the tuned kernels and the readable ones, for tests that hold one against the other. */
export function setGpuPath(path: GpuPath): void {
  gpuPath = path;
}

/**
 * Choose where new tensors live. `auto` (default) takes a hardware WebGPU adapter if there is one and the CPU otherwise;
 * `webgpu` takes any adapter, a software one (lavapipe, SwiftShader) too. Can be called again to change.
 *
 * @throws DeviceError when `webgpu` is asked for and no adapter answers, with the reason
 */
export async function init(options: { readonly device?: DeviceChoice } = {}): Promise<DeviceInfo> {
  const info = await openDevice(options.device ?? "auto");
  setDefaultDevice(info.device);
  return info;
}

/** Open a device without making it the default. */
export async function openDevice(choice: DeviceChoice): Promise<DeviceInfo> {
  if (choice === "cpu") return { device: "cpu", profile: null, reason: "the CPU was asked for" };
  if (choice !== "auto" && choice !== "webgpu") throw new ArgumentError("init", "device", '"auto", "cpu" or "webgpu"', `"${String(choice)}"`);
  try {
    const opened = await openGpu({ allowSoftware: choice === "webgpu" });
    use(opened);
    const kind = opened.profile.isSoftware ? "software" : "hardware";
    return { device: "webgpu", profile: opened.profile, reason: `${kind} adapter: ${opened.profile.description}` };
  } catch (error) {
    if (choice === "webgpu" || !(error instanceof DeviceError)) throw error;
    return { device: "cpu", profile: null, reason: `no hardware GPU: ${error.message}` };
  }
}

/** Let ops on `webgpu` tensors run on an opened device. */
function use(opened: Gpu): void {
  if (gpu === opened) return;
  forgetScalars();
  gpu = opened;
  registerBackend("webgpu", {
    device: "webgpu",
    supports: (spec) => (spec.wgsl ?? spec.pointwise ?? spec.fast?.wgsl) !== undefined,
    run: (spec, inputs, plan, attrs, dtype) => runOnGpu(opened, spec, inputs, plan, attrs, dtype, gpuPath),
    upload: (dtype, data) => GpuStorage.upload(opened, dtype, data),
    lasting: (make) => opened.lasting(make),
  });
}

/** Close the GPU: its tensors become unusable, new ones are made on the CPU. */
export async function closeDevice(): Promise<void> {
  setDefaultDevice("cpu");
  registerBackend("webgpu", null);
  const closing = gpu;
  gpu = null;
  forgetScalars();
  await closing?.close();
}
