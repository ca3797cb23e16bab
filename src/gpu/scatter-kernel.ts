import type { KernelPlan, KernelProfile, KernelSource } from "../tensor/op-spec.ts";
import { foldGrid, GROUP_NUMBER } from "./fold-grid.ts";

/** Lanes of a workgroup where the size of a subgroup is unknown. */
const LANES = 64;

/**
 * Plans `y[ids[k]] += x[k]` for `count` rows of `d` floats, into `rows` zeroed ones. The first row of each id adds up the later
 * ones, in their order: no atomics, the same sum every time.
 */
export function scatterPlan(profile: KernelProfile, count: number, d: number, rows: number): KernelPlan {
  const lanes = profile.subgroups ? profile.subgroupSize : null;
  const kernel = lanes ? shared(lanes) : ALONE;
  return { kernel, grid: foldGrid(count), params: Uint32Array.of(count, d, rows), zeroed: true };
}

const built = new Map<number, KernelSource>();

function shared(lanes: number): KernelSource {
  const kernel = built.get(lanes) ?? scatterKernel(lanes, true);
  built.set(lanes, kernel);
  return kernel;
}

const ADD_ROW = "for (var c = lane; c < p.d; c += LANES) { y[u32(id) * p.d + c] += x[other * p.d + c]; }";

// Every lane looks at all ids.
const WALK_ALONE = /* wgsl */ `
  for (var other = 0u; other < row; other++) { if (ids[other] == id) { return; } }
  for (var other = row; other < p.count; other++) { if (ids[other] == id) { ${ADD_ROW} } }`;

// The lanes look at as many ids at a time as they are.
const WALK_TOGETHER = /* wgsl */ `
  var earlier = false;
  for (var other = lane; other < row; other += LANES) { earlier = earlier || ids[other] == id; }
  if (subgroupAny(earlier)) { return; }
  for (var start = row; start < p.count; start += LANES) {
    let same = start + lane < p.count && ids[min(start + lane, p.count - 1u)] == id;
    if (!subgroupAny(same)) { continue; }
    for (var k = 0u; k < LANES; k++) {
      let other = start + k;
      if (subgroupShuffle(select(0u, 1u, same), k) == 1u) { ${ADD_ROW} }
    }
  }`;

function scatterKernel(lanes: number, together: boolean): KernelSource {
  const code = /* wgsl */ `
${together ? "enable subgroups;\ndiagnostic(off, subgroup_uniformity);" : ""}
const LANES = ${lanes}u;
struct Params { count: u32, d: u32, rows: u32 }
@group(1) @binding(0) var<uniform> p: Params;
@group(0) @binding(0) var<storage, read> ids: array<i32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(${together ? "subgroup_invocation_id" : "local_invocation_index"}) lane: u32,
) {
  let row = ${GROUP_NUMBER};
  if (row >= p.count) { return; }
  let id = ids[row];
  if (u32(id) >= p.rows) { return; }
${together ? WALK_TOGETHER : WALK_ALONE}
}`;
  return { label: "scatterAdd", code, bindings: ["read", "read", "read_write"] };
}

const ALONE = scatterKernel(LANES, false);
