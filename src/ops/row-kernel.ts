import { foldGrid, GROUP_NUMBER } from "../gpu/fold-grid.ts";
import type { KernelPlan, KernelProfile, KernelSource } from "../tensor/op-spec.ts";
import { nanHelpers } from "./nan-wgsl.ts";

/** A sum or a maximum over a row of the term `each`. */
export interface RowStage {
  readonly name: string;
  readonly combine: "sum" | "max";
  readonly each: string;
}

/** A buffer: an element for each of the matrix's (`matrix`), for each column or for each row. */
export interface RowBuffer {
  readonly name: string;
  readonly per: "matrix" | "column" | "row";
  /** Default f32; integers are for rows. */
  readonly type?: "i32";
}

/**
 * A kernel that gives one workgroup to each row of a matrix, for what needs sums over the row first. Where rows are a
 * multiple of four it works on four elements at a time: buffers of elements and columns go by their name as values of the
 * type `F` (f32 or vec4f), their columns are `j` of the type `J`; comparisons take `isNan(F)`. Buffers of rows are scalars.
 */
export interface RowKernel {
  readonly label: string;
  /** In the op's order, the output last. */
  readonly buffers: readonly RowBuffer[];
  /** One walk along the row after the other; its stages see the results of walks before it, by name. */
  readonly walks: readonly (readonly RowStage[])[];
  /** WGSL after the walks; `element_x(row, j)` is one element of x. */
  readonly between?: string;
  /** The output's element; for an output per row, the one of the row. */
  readonly result: string;
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
  return { kernel: sourceOf(kernel, lanes, d % 4 === 0), grid: foldGrid(rows), params };
}

const built = new Map<string, KernelSource>();

function sourceOf(kernel: RowKernel, lanes: number | null, wide: boolean): KernelSource {
  const key = `${kernel.label} ${lanes} ${wide}`;
  const known = built.get(key);
  if (known) return known;
  const last = kernel.buffers.length - 1;
  const made: KernelSource = {
    label: kernel.label,
    code: rowSource(kernel, { lanes, width: lanes ?? LANES, wide }),
    bindings: kernel.buffers.map((_, i) => (i === last ? "read_write" : "read")),
  };
  built.set(key, made);
  return made;
}

interface Shape {
  readonly lanes: number | null;
  readonly width: number;
  readonly wide: boolean;
}

function rowSource(kernel: RowKernel, shape: Shape): string {
  const { buffers, walks, between = "", result } = kernel;
  const { lanes, width, wide } = shape;
  const output = buffers[buffers.length - 1];
  const store =
    output.per === "row"
      ? `if (lane == 0u) { all_${output.name}[row] = ${result}; }`
      : overRow(kernel, shape, `all_${output.name}[at] = ${result};`);
  return /* wgsl */ `
${lanes ? "enable subgroups;" : ""}
${wide ? "alias F = vec4f; alias J = vec4u; alias B = vec4<bool>;" : "alias F = f32; alias J = u32; alias B = bool;"}
struct Dims { count: u32, d: u32, eps: f32, word: u32 }
@group(1) @binding(0) var<uniform> dims: Dims;
${buffers.map((buffer, i) => binding(buffer, i, i === buffers.length - 1 ? "read_write" : "read")).join("\n")}
${buffers.filter(({ per }) => per === "matrix").map((buffer) => elementOf(buffer, wide)).join("\n")}
${nanHelpers}
fn isNan(v: F) -> B { return (bitcast<J>(v) & J(0x7fffffffu)) > J(0x7f800000u); }
${lanes ? "" : reducers(width)}
@compute @workgroup_size(${width})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(${lanes ? "subgroup_invocation_id" : "local_invocation_index"}) lane: u32,
) {
  let row = ${GROUP_NUMBER};
  if (row >= dims.count) { return; }
  let columns = dims.d / ${wide ? 4 : 1}u;
${buffers.filter((buffer) => buffer.per === "row" && buffer !== output).map(({ name }) => `  let ${name} = all_${name}[row];`).join("\n")}
${walks.map((stages) => walkSource(kernel, stages, shape)).join("\n")}
${between}
${store}
}`;
}

const binding = ({ name, per, type }: RowBuffer, i: number, access: string): string =>
  `@group(0) @binding(${i}) var<storage, ${access}> all_${name}: array<${per === "row" ? (type ?? "f32") : "F"}>;`;

const elementOf = ({ name }: RowBuffer, wide: boolean): string => {
  const at = wide ? `all_${name}[(row * dims.d + j) / 4u][j % 4u]` : `all_${name}[row * dims.d + j]`;
  return `fn element_${name}(row: u32, j: u32) -> f32 { return ${at}; }`;
};

/** `step` at each element of the row, or each four, with the values of the buffers that it names. */
function overRow({ buffers }: RowKernel, { width, wide }: Shape, step: string): string {
  const named = (name: string): boolean => new RegExp(`\\b${name}\\b`).test(step);
  const values = buffers
    .slice(0, -1)
    .filter(({ name, per }) => per !== "row" && named(name))
    .map(({ name, per }) => `let ${name} = all_${name}[${per === "matrix" ? "at" : "place"}];`);
  const columns = wide ? "4u * place + vec4u(0u, 1u, 2u, 3u)" : "place";
  return /* wgsl */ `  for (var place = lane; place < columns; place += ${width}u) {
    let at = row * columns + place;
    ${named("j") ? `let j = ${columns};` : ""}
    ${values.join(" ")}
    ${step}
  }`;
}

function walkSource(kernel: RowKernel, stages: readonly RowStage[], shape: Shape): string {
  const starts = stages.map(({ name, combine }) => `  var part_${name} = F(${combine === "sum" ? "0.0" : "-3.4028234e38"});`);
  const steps = stages.map(({ name, combine, each }) =>
    combine === "sum" ? `part_${name} += ${each};` : `part_${name} = max(part_${name}, ${each});`,
  );
  const joins = stages.map((stage) => `  let ${stage.name} = ${joined(stage, shape)};`);
  return [...starts, overRow(kernel, shape, steps.join("\n    ")), ...joins].join("\n");
}

function joined({ name, combine }: RowStage, { lanes, wide }: Shape): string {
  const part = `part_${name}`;
  const four = combine === "sum" ? `dot(${part}, vec4f(1.0))` : `max(max(${part}.x, ${part}.y), max(${part}.z, ${part}.w))`;
  const own = wide ? four : part;
  if (!lanes) return `row_${combine}(${own}, lane)`;
  return combine === "sum" ? `subgroupAdd(${own})` : `subgroupMax(${own})`;
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
