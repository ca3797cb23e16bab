import type { KernelDispatch, KernelPlan, KernelProfile, KernelSource } from "../tensor/op-spec.ts";
import { foldGrid, GROUP_NUMBER } from "./fold-grid.ts";

/** An array as [outer, reduced, inner], whose middle axis is summed. */
export interface SumSizes {
  readonly outer: number;
  readonly reduced: number;
  readonly inner: number;
}

/** What is summed and what becomes of it, as WGSL of `value`, of `total` and of `p.reduced`; both of them floats or vec4f. */
export interface SumTerms {
  readonly label: string;
  readonly term: string;
  readonly finish: string;
}

const PARTS: SumTerms = { label: "sum of parts", term: "value", finish: "total" };

/** Lanes of a workgroup that sums columns, or rows where the size of a subgroup is unknown. */
const LANES = 64;
/** Terms of one output that one workgroup, or one invocation, sums; more are summed in parts, side by side. */
const ROW_PART = 4096;
const COLUMN_PART = 32;
/** Invocations beyond which columns need no parts. */
const MANY = 65536;

/** Plans a sum over the middle axis: workgroups for rows, invocations for columns, in two dispatches where there are few of them. */
export function sumPlan(profile: KernelProfile, terms: SumTerms, sizes: SumSizes): KernelPlan {
  const { outer, reduced, inner } = sizes;
  const part = inner === 1 ? ROW_PART : Math.max(COLUMN_PART, Math.ceil((reduced * outer * inner) / MANY));
  const parts = Math.ceil(reduced / part);
  if (parts <= 1) return dispatchOf(profile, terms, sizes, reduced, reduced);
  const first = dispatchOf(profile, { ...terms, label: `${terms.label} parts`, finish: "total" }, sizes, part, reduced);
  const last = dispatchOf(profile, { ...PARTS, ...terms, term: PARTS.term }, { ...sizes, reduced: parts }, parts, reduced);
  return { ...last, first: { ...first, floats: outer * parts * inner } };
}

/** Plans a sum of `parts` rows of `inner` floats, the last of two dispatches. */
export const partsPlan = (profile: KernelProfile, parts: number, inner: number): KernelDispatch =>
  dispatchOf(profile, PARTS, { outer: 1, reduced: parts, inner }, parts, parts);

function dispatchOf(profile: KernelProfile, terms: SumTerms, { outer, reduced, inner }: SumSizes, part: number, divisor: number): KernelDispatch {
  const parts = Math.max(1, Math.ceil(reduced / part));
  if (inner === 1) {
    const lanes = profile.subgroups ? profile.subgroupSize : null;
    const params = Uint32Array.of(outer * parts, reduced, inner, part, parts, divisor);
    return { kernel: once(`${terms.label} ${terms.term} ${terms.finish} rows ${lanes}`, () => rowKernel(terms, lanes)), grid: foldGrid(outer * parts), params };
  }
  const wide = inner % 4 === 0;
  const columns = wide ? inner / 4 : inner;
  const count = outer * parts * columns;
  const params = Uint32Array.of(count, reduced, columns, part, parts, divisor);
  const kernel = once(`${terms.label} ${terms.term} ${terms.finish} columns ${wide}`, () => columnKernel(terms, wide));
  return { kernel, grid: foldGrid(Math.ceil(count / LANES)), params };
}

const built = new Map<string, KernelSource>();

function once(key: string, build: () => KernelSource): KernelSource {
  const known = built.get(key) ?? build();
  built.set(key, known);
  return known;
}

const header = (element: string): string => /* wgsl */ `
alias F = ${element};
struct Params { count: u32, rows: u32, inner: u32, part: u32, parts: u32, reduced: u32 }
@group(1) @binding(0) var<uniform> p: Params;
@group(0) @binding(0) var<storage, read> x: array<F>;
@group(0) @binding(1) var<storage, read_write> y: array<F>;`;

/** A workgroup for each part of a row: its lanes take turns. */
function rowKernel({ label, term, finish }: SumTerms, lanes: number | null): KernelSource {
  const width = lanes ?? LANES;
  const code = /* wgsl */ `
${lanes ? "enable subgroups;" : `var<workgroup> sums: array<f32, ${width}>;`}
${header("f32")}
@compute @workgroup_size(${width})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(${lanes ? "subgroup_invocation_id" : "local_invocation_index"}) lane: u32,
) {
  let number = ${GROUP_NUMBER};
  if (number >= p.count) { return; }
  let start = number / p.parts * p.rows;
  let begin = start + number % p.parts * p.part;
  var own = 0.0;
  for (var j = begin + lane; j < min(begin + p.part, start + p.rows); j += ${width}u) {
    let value = x[j];
    own += ${term};
  }
${lanes ? "  let total = subgroupAdd(own);" : joinLanes(width)}
  if (lane == 0u) { y[number] = ${finish}; }
}`;
  return { label: `${label} of rows`, code, bindings: ["read", "read_write"] };
}

const joinLanes = (width: number): string => /* wgsl */ `
  sums[lane] = own;
  workgroupBarrier();
  for (var half = ${width / 2}u; half > 0u; half /= 2u) {
    if (lane < half) { sums[lane] += sums[lane + half]; }
    workgroupBarrier();
  }
  let total = sums[0];`;

/** An invocation for each part of a column, or of four neighbouring ones. */
function columnKernel({ label, term, finish }: SumTerms, wide: boolean): KernelSource {
  const code = /* wgsl */ `
${header(wide ? "vec4f" : "f32")}
@compute @workgroup_size(${LANES})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (${GROUP_NUMBER}) * ${LANES}u + lane;
  if (i >= p.count) { return; }
  let start = i / p.inner / p.parts * p.rows;
  let begin = start + i / p.inner % p.parts * p.part;
  var total = F();
  for (var j = begin; j < min(begin + p.part, start + p.rows); j++) {
    let value = x[j * p.inner + i % p.inner];
    total += ${term};
  }
  y[i] = ${finish};
}`;
  return { label: `${label} of columns`, code, bindings: ["read", "read_write"] };
}
