import { foldGrid, GROUP_NUMBER } from "../gpu/fold-grid.ts";
import { partsPlan } from "../gpu/sum-kernel.ts";
import type { KernelPlan, KernelProfile, KernelSource } from "../tensor/op-spec.ts";

/** Lanes of a workgroup where the size of a subgroup is unknown. */
const LANES = 64;
/** Rows that a workgroup adds up. */
const ROWS = 16;

/** Plans `Σ dy · x / √(mean(x²) + eps)` over `n` rows of `d`: sums of 16 rows first, then the sum of those. */
export function weightPlan(profile: KernelProfile, n: number, d: number, eps: number): KernelPlan | null {
  const lanes = profile.subgroups ? profile.subgroupSize : null;
  const parts = Math.ceil(n / ROWS);
  if (parts === 0) return null;
  const params = Uint32Array.of(n, d, 0);
  new Float32Array(params.buffer)[2] = eps;
  const kernel = lanes ? shared(lanes) : ALONE;
  return { ...partsPlan(profile, parts, d), first: { kernel, grid: foldGrid(parts), params, floats: parts * d } };
}

const built = new Map<number, KernelSource>();

function shared(lanes: number): KernelSource {
  const kernel = built.get(lanes) ?? partsKernel(lanes, "subgroupAdd(own)", "enable subgroups;", "subgroup_invocation_id");
  built.set(lanes, kernel);
  return kernel;
}

// A lane keeps its columns' sums in the output: d may be anything.
function partsKernel(lanes: number, joined: string, head: string, builtin: string): KernelSource {
  const code = /* wgsl */ `
${head}
const LANES = ${lanes}u;
struct Params { n: u32, d: u32, eps: f32 }
@group(1) @binding(0) var<uniform> p: Params;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(${builtin}) lane: u32,
) {
  let part = ${GROUP_NUMBER};
  if (part * ${ROWS}u >= p.n) { return; }
  for (var row = part * ${ROWS}u; row < min((part + 1u) * ${ROWS}u, p.n); row++) {
    var own = 0.0;
    for (var j = lane; j < p.d; j += LANES) { own += x[row * p.d + j] * x[row * p.d + j]; }
    let r = inverseSqrt(${joined} / f32(p.d) + p.eps);
    for (var j = lane; j < p.d; j += LANES) {
      let before = select(y[part * p.d + j], 0.0, row == part * ${ROWS}u);
      y[part * p.d + j] = before + dy[row * p.d + j] * x[row * p.d + j] * r;
    }
  }
}`;
  return { label: "rmsNormDweight", code, bindings: ["read", "read", "read_write"] };
}

const TREE = /* wgsl */ `
var<workgroup> sums: array<f32, ${LANES}>;
fn joined(own: f32, lane: u32) -> f32 {
  workgroupBarrier();
  sums[lane] = own;
  workgroupBarrier();
  for (var half = ${LANES / 2}u; half > 0u; half /= 2u) {
    if (lane < half) { sums[lane] += sums[lane + half]; }
    workgroupBarrier();
  }
  return sums[0];
}`;

const ALONE = partsKernel(LANES, "joined(own, lane)", TREE, "local_invocation_index");
