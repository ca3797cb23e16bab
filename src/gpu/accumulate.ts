import { gathered, runsOf } from "./arena.ts";
import type { Gpu } from "./device.ts";
import { foldGrid } from "./fold-grid.ts";
import type { GpuStorage } from "./gpu-storage.ts";
import type { KernelSource } from "./kernel.ts";

const LANES = 64;

const ACCUMULATE: KernelSource = {
  label: "accumulate",
  bindings: ["read", "read_write"],
  code: /* wgsl */ `
struct Params { count: u32 }
@group(0) @binding(0) var<storage, read> terms: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> sums: array<vec4f>;
@group(1) @binding(0) var<uniform> params: Params;
@compute @workgroup_size(${LANES})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + ${LANES}u * groups.x * (id.y + groups.y * id.z);
  if (i < params.count) { sums[i] += terms[i]; }
}`,
};

/** Records that each of `terms` is added to one of `sums`, in place; the sums lie in an arena. */
export function accumulateOnGpu(gpu: Gpu, sums: readonly GpuStorage[], terms: readonly GpuStorage[]): void {
  const side = gathered(gpu, terms, "gradients");
  try {
    for (const { buffers, floats } of runsOf([side, sums])) {
      gpu.stream.dispatch(ACCUMULATE, buffers, Uint32Array.of(floats / 4), foldGrid(Math.ceil(floats / 4 / LANES)));
    }
  } finally {
    for (const storage of side) storage.release();
  }
}

/** Records that storages in an arena become zero. */
export function clearOnGpu(gpu: Gpu, storages: readonly GpuStorage[]): void {
  for (const { buffers } of runsOf([storages])) gpu.stream.clear(buffers[0]);
}
