import { GEMM_PARAMS, type GemmFormat, type GemmKernel, type GemmMode, gemmTile, layoutLabel, unroll } from "./gemm-wgsl.ts";
import { storedReader } from "./stored-kernels.ts";

const THREADS = 8; // along each axis of the tile
const OWN = 4; // rows and columns of C that a thread computes
const SIDE = THREADS * OWN;
const DEPTH = 8; // k at a time
const LOADS = (SIDE * DEPTH) / (THREADS * THREADS);

/**
 * GEMM for GPUs, any sizes: a workgroup of 8x8 threads computes 32x32 of C, a thread 4x4, with slabs of A and B eight
 * deep in workgroup memory:
 *
 *     for k0 in steps of 8: fill slabA[8][32] and slabB[8][32]; for k of 8: c[4][4] += slabA[k][4] * slabB[k][4]
 */
export function tileKernel(mode: GemmMode, format: GemmFormat): GemmKernel {
  const code = /* wgsl */ `
${GEMM_PARAMS}
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<${format === "f32" ? "f32" : "u32"}>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;
var<workgroup> slabA: array<f32, ${DEPTH * SIDE}>;
var<workgroup> slabB: array<f32, ${DEPTH * SIDE}>;

fn elementA(at: u32) -> f32 { return a[at]; }
${format === "f32" ? "" : storedReader(format, "b")}
fn elementB(at: u32) -> f32 { return ${format === "f32" ? "b[at]" : "bitcast<f32>(bits_at(at, p.n * p.k))"}; }

fn four(index: u32) -> vec4f {
  return vec4f(slabB[index], slabB[index + 1u], slabB[index + 2u], slabB[index + 3u]);
}

@compute @workgroup_size(${THREADS * THREADS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  ${gemmTile(SIDE, SIDE)}
  let ownRow = thread / ${THREADS}u * ${OWN}u;
  let ownColumn = thread % ${THREADS}u * ${OWN}u;
  let startA = batch * p.strideA;
  let startB = batch * p.strideB;
${unroll(OWN, (row) => `  var c${row} = vec4f();`)}

  for (var k0 = 0u; k0 < p.k; k0 += ${DEPTH}u) {
    for (var load = 0u; load < ${LOADS}u; load++) {
      let index = thread + load * ${THREADS * THREADS}u;
      ${mode === "TN" ? fillSlab("A", "row0", alongLines("p.m")) : fillSlab("A", "row0", ALONG_K)}
      ${mode === "NT" ? fillSlab("B", "column0", ALONG_K) : fillSlab("B", "column0", alongLines("p.n"))}
    }
    workgroupBarrier();
    for (var k = 0u; k < ${DEPTH}u; k++) {
      let b0 = four(k * ${SIDE}u + ownColumn);
${unroll(OWN, (row) => `      c${row} += slabA[k * ${SIDE}u + ownRow + ${row}u] * b0;`)}
    }
    workgroupBarrier();
  }
${unroll(OWN, storeRow)}
}`;
  const label = `gemm ${mode} tile ${SIDE}x${SIDE}${layoutLabel({ aligned: true, format })}`;
  return { source: { label, code, bindings: ["read", "read", "read_write"] }, rows: SIDE, columns: SIDE };
}

// Neighbouring threads read along the operand's contiguous axis; a line is a row of A or a column of B.
interface Layout {
  readonly line: string;
  readonly depth: string;
  readonly at: string;
}

const ALONG_K: Layout = { line: `index / ${DEPTH}u`, depth: `index % ${DEPTH}u`, at: "line * p.k + k" };

const alongLines = (lines: string): Layout => ({
  line: `index % ${SIDE}u`,
  depth: `index / ${SIDE}u`,
  at: `k * ${lines} + line`,
});

// A line past the edge reads something and is not stored; k past the edge reads zeros.
const fillSlab = (operand: "A" | "B", line0: string, layout: Layout): string => /* wgsl */ `{
        let depth = ${layout.depth};
        let line = ${line0} + ${layout.line};
        let k = k0 + depth;
        let value = element${operand}(start${operand} + ${layout.at});
        slab${operand}[depth * ${SIDE}u + ${layout.line}] = select(0.0, value, k < p.k);
      }`;

function storeRow(row: number): string {
  return /* wgsl */ `  if (row0 + ownRow + ${row}u < p.m) {
    let start = (batch * p.m + row0 + ownRow + ${row}u) * p.n;
    for (var j = 0u; j < ${OWN}u; j++) {
      let column = column0 + ownColumn + j;
      if (column < p.n) { c[start + column] = c${row}[j]; }
    }
  }`;
}
