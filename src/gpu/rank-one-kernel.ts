import type { KernelPlan, KernelProfile, KernelSource } from "../tensor/op-spec.ts";
import { foldGrid, GROUP_NUMBER } from "./fold-grid.ts";

/** Lanes of a workgroup where it is not one subgroup. */
const LANES = 128;

/** A kernel over the terms b_k·a_kᵀ of a product of two matrices. */
export interface RankOneKernel {
  readonly label: string;
  /** Whether it reads the cotangent of the scaled B. */
  readonly readsCotangent: boolean;
  /** What each term gives: a row of a, a column of b, or one number that is summed over the terms. */
  readonly gives: "row" | "column" | "total";
  /** WGSL of an element, or of the term's number; see `rankOnePlan`. */
  readonly result: string;
}

/** Sizes: a [r, d], b [o, r]. */
export interface RankOneDims {
  readonly r: number;
  readonly d: number;
  readonly o: number;
}

/**
 * Plans a kernel with buffers a [r, d], b [o, r], strength [1] unless it gives a total, perhaps dup [o, r], and the output; a workgroup
 * for each term. `result` sees `a` or `b` (and `dup`) at its element, the term's lengths `long_a` and `long_b`, not below `eps` as
 * `size_a` and `size_b`, and `cross` = Σ dup·b.
 */
export function rankOnePlan(profile: KernelProfile, kernel: RankOneKernel, { r, d, o }: RankOneDims, eps: number): KernelPlan {
  const lanes = profile.isSoftware && profile.subgroups ? profile.subgroupSize : null;
  const params = Uint32Array.of(r, d, o, 0);
  new Float32Array(params.buffer)[3] = eps;
  return { kernel: sourceOf(kernel, lanes), grid: foldGrid(kernel.gives === "total" ? 1 : r), params };
}

const built = new Map<string, KernelSource>();

function sourceOf(kernel: RankOneKernel, lanes: number | null): KernelSource {
  const key = `${kernel.label} ${lanes}`;
  const known = built.get(key);
  if (known) return known;
  const inputs = ["a", "b", ...(kernel.gives === "total" ? [] : ["strength"]), ...(kernel.readsCotangent ? ["dup"] : [])];
  const bindings = [...inputs.map((): "read" => "read"), "read_write" as const];
  const made = { label: kernel.label, code: codeOf(kernel, inputs, lanes), bindings };
  built.set(key, made);
  return made;
}

const OUTPUTS = {
  row: "for (var i = lane; i < p.d; i += WIDTH) { let a = all_a[k * p.d + i]; y[k * p.d + i] = RESULT; }",
  column: "for (var i = lane; i < p.o; i += WIDTH) { let at = i * p.r + k; let b = all_b[at]; DUP y[at] = RESULT; }",
  total: "sum += RESULT;",
} as const;

function codeOf({ readsCotangent, gives, result }: RankOneKernel, inputs: readonly string[], lanes: number | null): string {
  const width = lanes ?? LANES;
  const dup = readsCotangent ? "let dup = all_dup[at];" : "";
  const step = OUTPUTS[gives].replace("RESULT", result).replace("DUP", dup).replaceAll("WIDTH", `${width}u`);
  const term = /* wgsl */ `
    var squares = vec3f();
    for (var i = lane; i < p.d; i += ${width}u) { let a = all_a[k * p.d + i]; squares.x += a * a; }
    for (var i = lane; i < p.o; i += ${width}u) {
      let at = i * p.r + k; let b = all_b[at]; ${dup}
      squares.y += b * b; ${readsCotangent ? "squares.z += dup * b;" : ""}
    }
    let long_a = sqrt(together(squares.x, lane)); let long_b = sqrt(together(squares.y, lane));
    ${readsCotangent ? "let cross = together(squares.z, lane);" : ""}
    let size_a = at_least(long_a, p.eps); let size_b = at_least(long_b, p.eps);
    ${step}`;
  return /* wgsl */ `
${lanes ? "enable subgroups;" : ""}
struct Params { r: u32, d: u32, o: u32, eps: f32 }
@group(1) @binding(0) var<uniform> p: Params;
${inputs.map((name, i) => `@group(0) @binding(${i}) var<storage, read> all_${name}: array<f32>;`).join("\n")}
@group(0) @binding(${inputs.length}) var<storage, read_write> y: array<f32>;
// max may hide a NaN.
fn at_least(v: f32, low: f32) -> f32 { return select(max(v, low), v, (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u); }
${lanes ? "fn together(value: f32, lane: u32) -> f32 { return subgroupAdd(value); }" : tree(width)}
@compute @workgroup_size(${width})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(${lanes ? "subgroup_invocation_id" : "local_invocation_index"}) lane: u32,
) {
  ${gives === "total" ? `var sum = 0.0;
  for (var k = 0u; k < p.r; k++) {${term}
  }
  if (lane == 0u) { y[0] = sum; }` : `let k = ${GROUP_NUMBER};
  if (k >= p.r) { return; }
  let strength = all_strength[0];${term}`}
}`;
}

const tree = (width: number): string => /* wgsl */ `
var<workgroup> parts: array<f32, ${width}>;
fn together(value: f32, lane: u32) -> f32 {
  parts[lane] = value;
  workgroupBarrier();
  for (var half = ${width / 2}u; half > 0u; half /= 2u) {
    if (lane < half) { parts[lane] += parts[lane + half]; }
    workgroupBarrier();
  }
  let all = workgroupUniformLoad(&parts[0]);
  workgroupBarrier();
  return all;
}`;
