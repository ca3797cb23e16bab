import type { Gemm } from "./gemm-types.ts";
import { type GemmKernels, type Pack, type ScratchMemory, TILE_ROWS } from "./gemm-kernel.ts";

/** The largest block of C that is computed at once, a multiple of every tile. */
const MAX_ROWS = 1024;
const MAX_COLUMNS = 1024;
/** Depth of a packed panel: a B panel (16 × 288 floats) and an A panel fit in 32 KB of L1 cache. */
const MAX_DEPTH = 288;
/** Rows of A multiplied in one call: 96 × 288 floats stay in the L2 cache. */
const CACHED_ROWS = 96;
/** Up to this depth, whole rows of an operand are copied in at once, not one piece for each panel depth. */
const MAX_WHOLE_DEPTH = 4096;
/** Rows shorter than this are copied element by element: cheaper than a view for each row. */
const MIN_VIEW = 40;
const PAGE_BYTES = 65536;
const FLOAT_BYTES = 4;

/** An operand in JavaScript memory, where its scratch copy and its panels go, and how it is packed. */
interface Operand {
  readonly data: Float32Array;
  /** Elements from one stored row to the next. */
  readonly rowLength: number;
  /** Whether the depth is contiguous in storage. */
  readonly depthContiguous: boolean;
  readonly panelWidth: number;
  readonly pack: Pack;
  /** Float offsets in the scratch memory. */
  readonly staging: number;
  readonly panels: number;
}

/** Float offsets of the regions in the scratch memory. */
interface Layout {
  readonly panelsA: number;
  readonly panelsB: number;
  readonly stagingA: number;
  readonly stagingB: number;
  readonly c: number;
  readonly end: number;
}

/** Block sizes of one product. */
interface Blocks {
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
}

/** A range of one axis. */
interface Range {
  readonly start: number;
  readonly count: number;
}

/**
 * The product on one instance of the kernels: blocks of A and B are copied into its memory, packed there and
 * multiplied, and blocks of C copied out. Needs m, n, k of at least 1.
 */
export function packedGemm(kernels: GemmKernels, tileColumns: number): Gemm {
  return (mode, m, n, k, a, b, out, accumulate) => {
    const blocks = blocksOf(m, n, k, tileColumns);
    const layout = layOut(blocks, k, tileColumns);
    const scratch = scratchOf(kernels.memory, layout.end);
    const transposedA = mode === "TN";
    const operandA: Operand = {
      data: a, rowLength: transposedA ? m : k, depthContiguous: !transposedA, panelWidth: TILE_ROWS,
      pack: transposedA ? kernels.packColumnsA : kernels.packRowsA,
      staging: layout.stagingA, panels: layout.panelsA,
    };
    const transposedB = mode === "NT";
    const operandB: Operand = {
      data: b, rowLength: transposedB ? k : n, depthContiguous: transposedB, panelWidth: tileColumns,
      pack: transposedB ? kernels.packRowsB : kernels.packColumnsB,
      staging: layout.stagingB, panels: layout.panelsB,
    };
    for (const columns of ranges(n, blocks.columns)) {
      const strideC = roundUp(columns.count, tileColumns);
      for (const rows of ranges(m, blocks.rows)) {
        const first = rows.start * n + columns.start;
        if (accumulate) copyRows(out, first, n, scratch, layout.c, strideC, rows.count, columns.count);
        for (const depth of ranges(k, blocks.depth)) {
          packBlock(scratch, operandA, rows, depth, k);
          packBlock(scratch, operandB, columns, depth, k);
          const add = accumulate || depth.start > 0;
          multiplyBlock(kernels, layout, rows.count, strideC, tileColumns, depth.count, add);
        }
        copyRows(scratch, layout.c, strideC, out, first, n, rows.count, columns.count);
      }
    }
  };
}

/** Bytes of scratch memory that a product needs: below 48 MB for any size. */
export function scratchBytes(m: number, n: number, k: number, tileColumns: number): number {
  return layOut(blocksOf(m, n, k, tileColumns), k, tileColumns).end * FLOAT_BYTES;
}

/** Multiply the packed panels into the copy of C, as many rows of A at a time as the L2 cache holds. */
function multiplyBlock(
  kernels: GemmKernels, layout: Layout,
  rows: number, strideC: number, tileColumns: number, depth: number, accumulate: boolean,
): void {
  for (const part of ranges(rows, CACHED_ROWS)) {
    kernels.multiply(
      (layout.panelsA + part.start * depth) * FLOAT_BYTES,
      layout.panelsB * FLOAT_BYTES,
      (layout.c + part.start * strideC) * FLOAT_BYTES,
      Math.ceil(part.count / TILE_ROWS), strideC / tileColumns, depth,
      strideC * FLOAT_BYTES, accumulate ? 1 : 0,
    );
  }
}

/**
 * Copy the part of an operand that the ranges name into the scratch memory, and pack it. A last panel that is
 * not full packs what lies beyond the edge: it only meets rows and columns of C that are never copied out.
 */
function packBlock(scratch: Float32Array, operand: Operand, outer: Range, depth: Range, k: number): void {
  const { data, rowLength, staging } = operand;
  let from = staging;
  let stride: number;
  if (!operand.depthContiguous) {
    stride = outer.count;
    const first = depth.start * rowLength + outer.start;
    copyRows(data, first, rowLength, scratch, staging, stride, depth.count, stride);
  } else if (k <= MAX_WHOLE_DEPTH) {
    stride = k;
    if (depth.start === 0) copyRows(data, outer.start * k, k, scratch, staging, k, outer.count, k);
    from += depth.start;
  } else {
    stride = depth.count;
    copyRows(data, outer.start * k + depth.start, k, scratch, staging, stride, outer.count, stride);
  }
  const count = Math.ceil(outer.count / operand.panelWidth);
  operand.pack(from * FLOAT_BYTES, operand.panels * FLOAT_BYTES, count, depth.count, stride * FLOAT_BYTES);
}

function blocksOf(m: number, n: number, k: number, tileColumns: number): Blocks {
  return {
    rows: evenBlock(m, MAX_ROWS, TILE_ROWS),
    columns: evenBlock(n, MAX_COLUMNS, tileColumns),
    depth: evenBlock(k, MAX_DEPTH, 1),
  };
}

/** Regions for one product, each with room for what packing reads and writes beyond the last panel. */
function layOut({ rows, columns, depth }: Blocks, k: number, tileColumns: number): Layout {
  const wholeDepth = k <= MAX_WHOLE_DEPTH ? k : depth;
  const spare = 4 * tileColumns;
  const panelsA = 0;
  const panelsB = aligned(panelsA + rows * depth + spare);
  const c = aligned(panelsB + columns * depth + spare);
  const stagingA = aligned(c + rows * columns);
  const stagingB = aligned(stagingA + rows * wholeDepth + spare);
  return { panelsA, panelsB, c, stagingA, stagingB, end: stagingB + columns * wholeDepth + spare };
}

/** All of the memory as floats, grown to at least that many. */
function scratchOf(memory: ScratchMemory, floats: number): Float32Array {
  const missing = floats * FLOAT_BYTES - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
  return new Float32Array(memory.buffer);
}

/** Copy a rows × columns block between arrays; strides and offsets in elements. */
function copyRows(
  source: Float32Array, from: number, sourceStride: number,
  target: Float32Array, to: number, targetStride: number,
  rows: number, columns: number,
): void {
  if (columns === sourceStride && columns === targetStride) {
    target.set(source.subarray(from, from + rows * columns), to);
    return;
  }
  for (let row = 0; row < rows; row++) {
    const s = from + row * sourceStride;
    const t = to + row * targetStride;
    if (columns >= MIN_VIEW) target.set(source.subarray(s, s + columns), t);
    else for (let j = 0; j < columns; j++) target[t + j] = source[s + j];
  }
}

/** The size of equal blocks that cover `total`, at most `limit`, rounded up to a multiple. */
function evenBlock(total: number, limit: number, multiple: number): number {
  return roundUp(Math.ceil(total / Math.ceil(total / limit)), multiple);
}

function* ranges(total: number, size: number): Generator<Range> {
  for (let start = 0; start < total; start += size) yield { start, count: Math.min(size, total - start) };
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** Regions start on cache lines (16 floats). */
function aligned(floats: number): number {
  return roundUp(floats, 16);
}
