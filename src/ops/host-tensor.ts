import type { Shape } from "../tensor/shape.ts";
import type { Device } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { tensor } from "./create.ts";
import { defaultDevice } from "./device.ts";
import { currentGpu } from "./init.ts";

/**
 * A tensor of what `values` gives: f32 from a Float32Array, i32 from an Int32Array. Where a captured function is replayed, `values`
 * is called again and must give as many elements; any other number of the host stays what it was when the function was captured.
 *
 * @throws ArgumentError when the shape does not fit
 */
export function hostTensor(
  values: () => Float32Array | Int32Array,
  options: { readonly shape: Shape; readonly device?: Device },
): Tensor {
  const device = options.device ?? defaultDevice();
  const make = (): Tensor => tensor(values(), { shape: options.shape, device });
  const gpu = device === "webgpu" ? currentGpu() : null;
  return gpu ? gpu.stream.recorder.feeding(values, make) : make();
}

/** Have `run` called whenever the captured function that is being recorded, if one is, is replayed: for what it does on the host. */
export function onReplay(run: () => void): void {
  currentGpu()?.stream.recorder.add({ kind: "effect", buffers: [], run });
}
