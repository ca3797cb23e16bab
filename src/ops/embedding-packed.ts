import { foldGrid, GROUP_NUMBER } from "../gpu/fold-grid.ts";
import { forEachFormat, storedReader } from "../gpu/stored-kernels.ts";
import type { StoredFormat } from "../tensor/dtype.ts";
import type { KernelPlan, KernelSource } from "../tensor/op-spec.ts";

const WORKGROUP = 64;

const kernelFor = (format: StoredFormat): KernelSource => ({
  label: `embedding ${format}`,
  bindings: ["read", "read", "read_write"],
  code: /* wgsl */ `
struct Dims { v: u32, d: u32, count: u32 }
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> weight: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(1) @binding(0) var<uniform> dims: Dims;
${storedReader(format, "weight")}
@compute @workgroup_size(${WORKGROUP}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let i = (${GROUP_NUMBER}) * ${WORKGROUP}u + local;
  if (i >= dims.count) { return; }
  let id = u32(ids[i / dims.d]);
  if (id >= dims.v) { y[i] = 0x7fc00000u; return; }
  y[i] = bits_at(id * dims.d + i % dims.d, dims.v * dims.d);
}`,
});

const KERNELS = forEachFormat(kernelFor);

/** `embedding` of `n` ids that decodes the rows it reads, not the table: buffers ids, weight, y. */
export const packedEmbeddingPlan = (
  format: StoredFormat,
  { n, v, d }: { readonly n: number; readonly v: number; readonly d: number },
): KernelPlan => ({
  kernel: KERNELS[format],
  params: Uint32Array.of(v, d, n * d),
  grid: foldGrid(Math.ceil((n * d) / WORKGROUP)),
});
