import { GEMM_PARAMS, type GemmKernel, type GemmLayout, type GemmMode, gemmBuffers, gemmTile, layoutLabel, unroll } from "./gemm-wgsl.ts";

/** How a workgroup divides its part of C, and how deep its slabs of A and B are. */
export interface TileShape {
  /** Threads beside each other, along the columns of C. */
  readonly threadsX: number;
  /** Threads below each other, along the rows of C. */
  readonly threadsY: number;
  /** Rows of C that a thread computes, a multiple of four. */
  readonly ownRows: number;
  /** Columns of C that a thread computes, a multiple of four. */
  readonly ownColumns: number;
  /** Steps of k between two barriers, a multiple of four. */
  readonly depth: number;
}

/** What tells the kernels of this family apart. */
export interface TileKernelShape extends TileShape, GemmLayout {
  readonly mode: GemmMode;
}

type Operand = "A" | "B";
const AXES = ["x", "y", "z", "w"] as const;

/**
 * GEMM for GPUs, any sizes: a workgroup of threadsX x threadsY threads computes a tile of C, each thread quads of rows and of columns that
 * lie `threads` quads apart (so that neighbours read neighbouring quads), from slabs of A and B in workgroup memory:
 *
 *     for k0 in steps of depth: fill slabA[depth][rows], slabB[depth][columns] in blocks of 4x4;
 *       for k of depth: c[ownRows][ownColumns] += slabA[k][ownRows] * slabB[k][ownColumns]
 */
export function tileKernel(shape: TileKernelShape): GemmKernel {
  const { mode, threadsX, threadsY, ownRows, ownColumns, depth } = shape;
  const rows = threadsY * ownRows;
  const columns = threadsX * ownColumns;
  const threads = threadsX * threadsY;
  const slab = (operand: Operand): Slab => ({ operand, lines: operand === "A" ? rows : columns, depth, alongK: liesAlongK(mode, operand) });
  const [slabA, slabB] = [slab("A"), slab("B")];
  const [blocksA, blocks] = [blocksOf(slabA), blocksOf(slabA) + blocksOf(slabB)];
  const code = /* wgsl */ `
${GEMM_PARAMS}
${gemmBuffers(shape)}
${declareSlab(slabA, "p.m")}
${declareSlab(slabB, "p.n")}

@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) thread: u32,
) {
  ${gemmTile(rows, columns)}
  let rowQuad = thread / ${threadsX}u;
  let columnQuad = thread % ${threadsX}u;
  let startA = batch * p.strideA;
  let startB = batch * p.strideB;
${forEachOwn(shape, (row, quad) => `  var c${row}_${quad} = vec4f();`)}

  for (var k0 = 0u; k0 < p.k; k0 += ${depth}u) {
    for (var block = thread; block < ${blocks}u; block += ${threads}u) {
      if (block < ${blocksA}u) { fillA(block, startA, row0, k0); } else { fillB(block - ${blocksA}u, startB, column0, k0); }
    }
    workgroupBarrier();
    for (var k = 0u; k < ${depth}u; k++) {
${unroll(ownRows / 4, (quad) => `      let a${quad} = slabA[k * ${strideOf(slabA)}u + rowQuad + ${quad * threadsY}u];`)}
${unroll(ownColumns / 4, (quad) => `      let b${quad} = slabB[k * ${strideOf(slabB)}u + columnQuad + ${quad * threadsX}u];`)}
${forEachOwn(shape, (row, quad) => `      c${row}_${quad} += a${row >> 2}.${AXES[row % 4]} * b${quad};`)}
    }
    workgroupBarrier();
  }
${unroll(ownRows, (row) => storeRow(shape, row))}
}`;
  const label = `gemm ${mode} tile ${rows}x${columns}x${depth}${layoutLabel(shape)}`;
  return { source: { label, code, bindings: ["read", "read", "read_write"] }, rows, columns };
}

const forEachOwn = ({ ownRows, ownColumns }: TileShape, line: (row: number, quad: number) => string): string =>
  unroll(ownRows, (row) => unroll(ownColumns / 4, (quad) => line(row, quad)));

/** `depth` rows of quads of lines (rows of A or columns of B). */
interface Slab {
  readonly operand: Operand;
  readonly lines: number;
  readonly depth: number;
  /** Whether neighbours in memory are neighbours along k, else of the next line. */
  readonly alongK: boolean;
}

const liesAlongK = (mode: GemmMode, operand: Operand): boolean => (operand === "A" ? mode !== "TN" : mode === "NT");
const blocksOf = ({ lines, depth }: Slab): number => (lines / 4) * (depth / 4);
/** Quads from one k to the next: odd, so that the rows of a block that was read along k begin in different banks. */
const strideOf = ({ lines }: Slab): number => lines / 4 + 1;

/**
 * The slab and what fills one block of it, four lines by four k. Neighbouring threads read along the contiguous axis. A line past the
 * edge reads something and is not stored; k past the edge reads zeros.
 */
function declareSlab(slab: Slab, lengthOfRow: string): string {
  const { operand, lines, depth, alongK } = slab;
  const load = (j: number): string =>
    alongK
      ? `load${operand}(start + (line + ${j}u) * p.k + k, p.k - k)`
      : `load${operand}(start + (k + ${j}u) * ${lengthOfRow} + line, keepK(k + ${j}u))`;
  const four = `mat4x4f(${[0, 1, 2, 3].map(load).join(", ")})`;
  const [quad, step] = alongK ? [`block / ${depth / 4}u`, `block % ${depth / 4}u`] : [`block % ${lines / 4}u`, `block / ${lines / 4}u`];
  return /* wgsl */ `
var<workgroup> slab${operand}: array<vec4f, ${depth * strideOf(slab)}>;
fn fill${operand}(block: u32, start: u32, line0: u32, k0: u32) {
  let line = line0 + 4u * (${quad});
  let k = k0 + 4u * (${step});
  var four = mat4x4f();
  if (k < p.k) { four = ${alongK ? `transpose(${four})` : four}; }
  let at = 4u * (${step}) * ${strideOf(slab)}u + ${quad};
${unroll(4, (j) => `  slab${operand}[at + ${j * strideOf(slab)}u] = four[${j}];`)}
}`;
}

function storeRow({ threadsX, threadsY, ownColumns }: TileShape, row: number): string {
  const place = 4 * threadsY * (row >> 2) + (row % 4);
  return /* wgsl */ `  {
    let row = row0 + 4u * rowQuad + ${place}u;
    let start = (batch * p.m + row) * p.n;
${unroll(ownColumns / 4, (quad) => {
  const column = `column0 + 4u * columnQuad + ${4 * threadsX * quad}u`;
  return `    if (row < p.m && ${column} < p.n) { store(start + ${column}, p.n - (${column}), c${row}_${quad}); }`;
})}
  }`;
}
