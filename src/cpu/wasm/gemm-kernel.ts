import {
  assembleModule, type Code, countUp, f32x4, type Frame, type FunctionSource, get, i32, ifElse, increase,
  type Local, set, shuffleWords, v128,
} from "./assembler.ts";

/** Rows of the micro-kernel's tile: how many rows of A are packed side by side. */
export const TILE_ROWS = 4;

/** What distinguishes one build of the kernels from another. */
export interface KernelShape {
  /** Columns of the micro-kernel's tile, a multiple of 4. */
  readonly tileColumns: number;
  /** Use the relaxed multiply-add instead of a multiplication and an addition. */
  readonly relaxed: boolean;
}

/** Copies `panels` panels of a source with `stride` bytes a row to `target`, `depth` steps each. */
export type Pack = (source: number, target: number, panels: number, depth: number, stride: number) => void;

/** A `WebAssembly.Memory`. */
export interface ScratchMemory {
  /** Replaced by another one when the memory grows. */
  readonly buffer: ArrayBuffer;
  /** Add pages of 64 KiB. */
  grow(pages: number): number;
}

/**
 * What the module exports. A panel holds `width` rows of A, or columns of B, as `depth` groups of floats.
 * Packing may read up to a panel beyond the source's edge and write up to 3 groups beyond the last panel.
 */
export interface GemmKernels {
  readonly memory: ScratchMemory;
  /** Panels of A from storage where the depth is contiguous ([m, k]). */
  readonly packRowsA: Pack;
  /** Panels of A from storage where the depth is strided ([k, m]). */
  readonly packColumnsA: Pack;
  /** Panels of B from storage where the depth is contiguous ([n, k]). */
  readonly packRowsB: Pack;
  /** Panels of B from storage where the depth is strided ([k, n]). */
  readonly packColumnsB: Pack;
  /** C tiles (+)= A panels · B panels; addresses and `strideC` in bytes, every count at least 1. */
  readonly multiply: (
    a: number, b: number, c: number,
    panelsA: number, panelsB: number, depth: number, strideC: number, accumulate: number,
  ) => void;
}

/** The binary of a module that exports {@link GemmKernels}. */
export function emitGemmModule(shape: KernelShape): Uint8Array<ArrayBuffer> {
  return assembleModule([
    packRows("packRowsA", TILE_ROWS),
    packColumns("packColumnsA", TILE_ROWS),
    packRows("packRowsB", shape.tileColumns),
    packColumns("packColumnsB", shape.tileColumns),
    multiply(shape),
  ]);
}

/** Panels whose `width` rows lie apart: four rows at a time, transposed in 4×4 blocks. */
function packRows(name: string, width: number): FunctionSource {
  return {
    name,
    params: 5,
    body: (frame, [source, target, panels, depth, stride]) => {
      const [panel, step, out] = frame.locals("i32", 3);
      const rows = frame.locals("i32", 4);
      const scratch = frame.locals("v128", 8);
      const rowAddress = (row: number): Code =>
        i32.add(get(source), i32.multiply(get(stride), i32.constant(row)));
      const fourRows = (first: number): Code[] => [
        ...rows.map((row, i) => set(row, rowAddress(first + i))),
        set(out, i32.add(get(target), i32.constant(first * 4))),
        set(step, i32.constant(0)),
        countUp(step, 4, get(depth), [
          ...transposed(rows, scratch, (i, column) => v128.store(get(out), i * width * 4, column)),
          ...rows.map((row) => increase(row, i32.constant(16))),
          increase(out, i32.constant(width * 16)),
        ]),
      ];
      return [
        countUp(panel, 1, get(panels), [
          ...Array.from({ length: width / 4 }, (_, group) => fourRows(group * 4)).flat(),
          increase(source, i32.multiply(get(stride), i32.constant(width))),
          increase(target, i32.multiply(get(depth), i32.constant(width * 4))),
        ]),
      ];
    },
  };
}

/** Load four vectors from the four addresses and store the columns of the 4×4 block that they are. */
function transposed(
  addresses: readonly Local[],
  scratch: readonly Local[],
  store: (column: number, value: Code) => Code,
): Code[] {
  const [r0, r1, r2, r3, low01, high01, low23, high23] = scratch;
  const shuffled = (x: Local, y: Local, words: number[]): Code => shuffleWords(get(x), get(y), words);
  return [
    ...[r0, r1, r2, r3].map((row, i) => set(row, v128.load(get(addresses[i]), 0))),
    set(low01, shuffled(r0, r1, [0, 4, 1, 5])),
    set(high01, shuffled(r0, r1, [2, 6, 3, 7])),
    set(low23, shuffled(r2, r3, [0, 4, 1, 5])),
    set(high23, shuffled(r2, r3, [2, 6, 3, 7])),
    store(0, shuffled(low01, low23, [0, 1, 4, 5])),
    store(1, shuffled(low01, low23, [2, 3, 6, 7])),
    store(2, shuffled(high01, high23, [0, 1, 4, 5])),
    store(3, shuffled(high01, high23, [2, 3, 6, 7])),
  ];
}

/** Panels whose `width` values lie side by side in each of the `depth` source rows: plain copies. */
function packColumns(name: string, width: number): FunctionSource {
  return {
    name,
    params: 5,
    body: (frame, [source, target, panels, depth, stride]) => {
      const [panel, step, row] = frame.locals("i32", 3);
      const offsets = Array.from({ length: width / 4 }, (_, i) => i * 16);
      return [
        countUp(panel, 1, get(panels), [
          set(row, get(source)),
          set(step, i32.constant(0)),
          countUp(step, 1, get(depth), [
            ...offsets.map((offset) => v128.store(get(target), offset, v128.load(get(row), offset))),
            increase(row, get(stride)),
            increase(target, i32.constant(width * 4)),
          ]),
          increase(source, i32.constant(width * 4)),
        ]),
      ];
    },
  };
}

/** Every tile of a block of C: for each panel of B (it stays in the L1 cache), every panel of A. */
function multiply(shape: KernelShape): FunctionSource {
  const columnBytes = shape.tileColumns * 4;
  return {
    name: "multiply",
    params: 8,
    body: (frame, [a, b, c, panelsA, panelsB, depth, strideC, accumulate]) => {
      const [panelA, panelB, nextA, nextB, tileC] = frame.locals("i32", 5);
      const tile = tileProduct(frame, shape, { a: nextA, b: nextB, c: tileC, depth, strideC, accumulate });
      return [
        countUp(panelB, 1, get(panelsB), [
          set(nextA, get(a)),
          set(tileC, get(c)),
          set(panelA, i32.constant(0)),
          countUp(panelA, 1, get(panelsA), [set(nextB, get(b)), ...tile]),
          set(b, get(nextB)),
          increase(c, i32.constant(columnBytes)),
        ]),
      ];
    },
  };
}

interface TileLocals {
  readonly a: Local;
  readonly b: Local;
  readonly c: Local;
  readonly depth: Local;
  readonly strideC: Local;
  readonly accumulate: Local;
}

/** The micro-kernel: one tile of C in vector locals; moves `a`, `b` and `c` past what it used. */
function tileProduct(frame: Frame, { tileColumns, relaxed }: KernelShape, at: TileLocals): Code[] {
  const vectors = tileColumns / 4;
  const [step, rowC] = frame.locals("i32", 2);
  const sums = Array.from({ length: TILE_ROWS }, () => frame.locals("v128", vectors));
  const rowB = frame.locals("v128", vectors);
  const valueA = frame.local("v128");
  const multiplyAdd = (sum: Local, x: Local): Code => set(sum, relaxed
    ? f32x4.relaxedMadd(get(valueA), get(x), get(sum))
    : f32x4.add(f32x4.multiply(get(valueA), get(x)), get(sum)));
  const eachRowOfC = (visit: (sum: Local, offset: number) => Code): Code[] => [
    set(rowC, get(at.c)),
    ...sums.flatMap((row) => [
      ...row.map((sum, v) => visit(sum, v * 16)),
      increase(rowC, get(at.strideC)),
    ]),
  ];
  return [
    ifElse(
      get(at.accumulate),
      eachRowOfC((sum, offset) => set(sum, v128.load(get(rowC), offset))),
      sums.flat().map((sum) => set(sum, v128.zero())),
    ),
    set(step, i32.constant(0)),
    countUp(step, 1, get(at.depth), [
      ...rowB.map((x, v) => set(x, v128.load(get(at.b), v * 16))),
      ...sums.flatMap((row, i) => [
        set(valueA, v128.loadSplat(get(at.a), i * 4)),
        ...row.map((sum, v) => multiplyAdd(sum, rowB[v])),
      ]),
      increase(at.a, i32.constant(TILE_ROWS * 4)),
      increase(at.b, i32.constant(tileColumns * 4)),
    ]),
    ...eachRowOfC((sum, offset) => v128.store(get(rowC), offset, get(sum))),
    set(at.c, get(rowC)),
  ];
}
