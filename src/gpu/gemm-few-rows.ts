import type { KernelProfile } from "../tensor/op-spec.ts";
import { GEMM_PARAMS, type GemmKernel, type GemmLayout, gemmOperands, gemmTile, layoutLabel, unroll } from "./gemm-wgsl.ts";

/** What tells the kernels of this family apart. */
export interface FewRowsShape extends GemmLayout {
  /** Lanes of a workgroup, a power of two; with `subgroup` exactly one subgroup. */
  readonly lanes: number;
  /** Lanes join their sums by subgroupAdd; else through workgroup memory. */
  readonly subgroup: boolean;
  /** Rows of C that a workgroup computes: all there are, and those past the edge are not stored. */
  readonly rows: number;
  /** Columns of C that a workgroup computes. */
  readonly columns: number;
}

/** Most rows of C that are few. For two rows an adapter that computes on the CPU gains less than it takes to compile one more kernel. */
const MOST_ROWS = { software: 1, hardware: 8 };
/** Lanes where the size of a subgroup is unknown. */
const LANES = { software: 8, hardware: 64 };
/** Workgroups of one subgroup that keep a GPU busy. */
const BUSY = 256;

/**
 * How to compute an NT product of `batch` results of m x n here; null where there are more rows than few, or where k is too short for
 * the lanes of a CPU.
 *
 * On a GPU a subgroup of 32 reads 512 neighbouring bytes of an f32 row at once, and of `columns` rows before it waits for the first.
 */
export function fewRowsFor(profile: KernelProfile, { batch, m, n, k }: Readonly<Record<"batch" | "m" | "n" | "k", number>>): Omit<FewRowsShape, keyof GemmLayout> | null {
  const { isSoftware, subgroups, subgroupSize } = profile;
  const kind = isSoftware ? "software" : "hardware";
  const subgroup = subgroups && subgroupSize !== null;
  const lanes = subgroup ? subgroupSize : LANES[kind];
  if (m > MOST_ROWS[kind] || (isSoftware && k < 2 * lanes)) return null;
  const columns = isSoftware || batch * Math.ceil(n / 4) >= BUSY ? 4 : 2;
  return { lanes, subgroup, rows: 2 ** Math.ceil(Math.log2(Math.max(m, 1))), columns };
}

/**
 * NT product of few rows, bound by reading B once: lanes lie along k, so neighbours read neighbouring fours of a row of B, and each four of
 * A serves `columns` rows of B, which a GPU has on their way at once. Here `aligned` asks nothing of the rows of C.
 *
 *     for k in steps of 4 * lanes: load A[rows, 4] and B[columns, 4] at k + 4 * lane; sum[row, column] += A[row] · B[column]
 *     C[row, column] = sum over the lanes
 */
export function fewRowsKernel(shape: FewRowsShape): GemmKernel {
  const { lanes, subgroup, rows, columns } = shape;
  const code = /* wgsl */ `
${subgroup ? "enable subgroups;" : `var<workgroup> parts: array<f32, ${lanes * rows * columns}>;`}
${GEMM_PARAMS}
${gemmOperands(shape)}
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(${lanes})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(${subgroup ? "subgroup_invocation_id" : "local_invocation_index"}) lane: u32,
) {
  ${gemmTile(rows, columns)}
  let startA = batch * p.strideA + row0 * p.k;
  let startB = batch * p.strideB + column0 * p.k;
${unroll(rows * columns, (i) => `  var sum${i} = 0.0;`)}

  for (var k = 4u * lane; k < p.k; k += ${4 * lanes}u) {
${unroll(columns, (column) => `    let b${column} = loadB(startB + ${column}u * p.k + k, p.k - k);`)}
${unroll(rows, (row) => `    let a${row} = loadA(startA + ${row}u * p.k + k, p.k - k);`)}
${unroll(rows * columns, (i) => `    sum${i} += dot(a${Math.floor(i / columns)}, b${i % columns});`)}
  }

${subgroup ? joinSubgroup(rows * columns) : joinWorkgroup(rows * columns, lanes)}
  for (var i = lane; i < ${rows * columns}u; i += ${lanes}u) {
    let row = row0 + i / ${columns}u;
    let column = column0 + i % ${columns}u;
    if (row < p.m && column < p.n) { c[(batch * p.m + row) * p.n + column] = ${subgroup ? "all[i]" : `parts[i * ${lanes}u]`}; }
  }
}`;
  const label = `gemm NT few rows ${rows}x${columns}${subgroup ? "" : " tree"}${layoutLabel(shape)}`;
  return { source: { label, code, bindings: ["read", "read", "read_write"] }, rows, columns };
}

const joinSubgroup = (count: number): string =>
  `  var all = array<f32, ${count}>(${Array.from({ length: count }, (_, i) => `subgroupAdd(sum${i})`).join(", ")});`;

const joinWorkgroup = (count: number, lanes: number): string => /* wgsl */ `
${unroll(count, (i) => `  parts[${i * lanes}u + lane] = sum${i};`)}
  workgroupBarrier();
  for (var half = ${lanes / 2}u; half > 0u; half /= 2u) {
    if (lane < half) {
      for (var at = lane; at < ${count * lanes}u; at += ${lanes}u) { parts[at] += parts[at + half]; }
    }
    workgroupBarrier();
  }`;
