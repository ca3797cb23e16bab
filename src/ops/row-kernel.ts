import { foldGrid, GROUP_NUMBER } from "../gpu/fold-grid.ts";
import type { KernelPlan, KernelProfile, KernelSource } from "../tensor/op-spec.ts";
import { nanHelpers } from "./nan-wgsl.ts";

/** A sum or a maximum over a row: `each` is the term at element `at` of the array, column `j`, row `row`. */
export interface RowStage {
  readonly name: string;
  readonly combine: "sum" | "max";
  readonly each: string;
}

/** A kernel that gives one workgroup to each row of a matrix, for what needs sums over the row first. */
export interface RowKernel {
  readonly label: string;
  /** Buffers in the op's order, the output last. */
  readonly buffers: readonly { readonly name: string; readonly type: "f32" | "i32" }[];
  /** One after the other; a stage sees the results of those before it, by name. */
  readonly stages: readonly RowStage[];
  /** WGSL after the stages. */
  readonly between?: string;
  /** The output element at `at`; with `perRow` the one element of the row. */
  readonly result: string;
  readonly perRow?: boolean;
}

/** Lanes of a workgroup where the size of a subgroup is unknown. */
const LANES = 64;

/**
 * A subgroup for each row where its size is known (on adapters that compute on the CPU barriers cost 4 to 5
 * times as much), else 64 lanes.
 */
export function rowPlan(
  profile: KernelProfile,
  kernel: RowKernel,
  rows: number,
  d: number,
  values: { readonly eps?: number; readonly word?: number } = {},
): KernelPlan {
  const lanes = profile.subgroups ? profile.subgroupSize : null;
  const params = Uint32Array.of(rows, d, 0, values.word ?? 0);
  new Float32Array(params.buffer)[2] = values.eps ?? 0;
  return { kernel: sourceOf(kernel, lanes), grid: foldGrid(rows), params };
}

const built = new Map<string, KernelSource>();

function sourceOf(kernel: RowKernel, lanes: number | null): KernelSource {
  const key = `${kernel.label} ${lanes}`;
  const known = built.get(key);
  if (known) return known;
  const last = kernel.buffers.length - 1;
  const made: KernelSource = {
    label: kernel.label,
    code: rowSource(kernel, lanes),
    bindings: kernel.buffers.map((_, i) => (i === last ? "read_write" : "read")),
  };
  built.set(key, made);
  return made;
}

function rowSource(
  { buffers, stages, between = "", result, perRow }: RowKernel,
  lanes: number | null,
): string {
  const last = buffers.length - 1;
  const width = lanes ?? LANES;
  const output = buffers[last].name;
  return /* wgsl */ `
${lanes ? "enable subgroups;" : ""}
struct Dims { count: u32, d: u32, eps: f32, word: u32 }
@group(1) @binding(0) var<uniform> dims: Dims;
${buffers.map((buffer, i) => binding(buffer, i, i === last ? "read_write" : "read")).join("\n")}
${nanHelpers}
${lanes ? "" : reducers(width)}
@compute @workgroup_size(${width})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(${lanes ? "subgroup_invocation_id" : "local_invocation_index"}) lane: u32,
) {
  let row = ${GROUP_NUMBER};
  if (row >= dims.count) { return; }
${stages.map((stage) => stageSource(stage, width, lanes !== null)).join("\n")}
${between}
${perRow ? `if (lane == 0u) { ${output}[row] = ${result}; }` : overRow(width, `${output}[at] = ${result};`)}
}`;
}

const binding = ({ name, type }: RowKernel["buffers"][number], i: number, access: string): string =>
  `@group(0) @binding(${i}) var<storage, ${access}> ${name}: array<${type}>;`;

const overRow = (width: number, step: string): string =>
  `for (var j = lane; j < dims.d; j += ${width}u) { let at = row * dims.d + j; ${step} }`;

function stageSource({ name, combine, each }: RowStage, width: number, subgroups: boolean): string {
  const start = combine === "sum" ? "0.0" : "-3.4028234e38";
  const step = combine === "sum" ? `part_${name} += ${each};` : `part_${name} = max(part_${name}, ${each});`;
  const join = subgroups ? (combine === "sum" ? "subgroupAdd" : "subgroupMax") : `row_${combine}`;
  return `  var part_${name} = ${start};
  ${overRow(width, step)}
  let ${name} = ${join}(part_${name}${subgroups ? "" : ", lane"});`;
}

/** Reductions over a workgroup through its memory. */
function reducers(width: number): string {
  const tree = (name: string, combine: string): string => /* wgsl */ `
fn ${name}(value: f32, lane: u32) -> f32 {
  parts[lane] = value;
  workgroupBarrier();
  for (var half = ${width / 2}u; half > 0u; half /= 2u) {
    if (lane < half) { let a = parts[lane]; let b = parts[lane + half]; parts[lane] = ${combine}; }
    workgroupBarrier();
  }
  return workgroupUniformLoad(&parts[0]);
}`;
  const memory = `var<workgroup> parts: array<f32, ${width}>;`;
  return [memory, tree("row_sum", "a + b"), tree("row_max", "max(a, b)")].join("");
}
