import { type Code, countUp, countWhile, type Frame, get, ifElse, increase, type Local, set } from "./assembler.ts";
import { i32 } from "./instructions.ts";
import { kernel } from "./kernel.ts";
import type { PanelWidth } from "./panels.ts";
import { callProduct, tileRows, tileWidth } from "./product.ts";

/** Depth of one pass over the tiles: that much of a panel of B (16 × 256 floats) stays in the L1 cache. */
const PASS_DEPTH = 256;

/**
 * Blocks of `C (+)= A · B` for a batch of products, each `rowBlock` × `columnBlock` elements at most; strides
 * as in `productFunctions`, `…Batch` from one product to the next.
 *
 *     unit = (product, block of rows, block of columns)
 *     for each PASS_DEPTH of the depth: product, accumulating after the first
 */
export const gemmBlocks = kernel(
  "gemmBlocks",
  {
    a: "in", aBatch: "i32", aPanel: "i32", aRow: "i32", aDepth: "i32",
    b: "in", bBatch: "i32", bPanel: "i32", bDepth: "i32",
    c: "inout", cBatch: "i32", cRow: "i32",
    m: "i32", n: "i32", k: "i32", accumulate: "i32", narrow: "i32", rowBlock: "i32", columnBlock: "i32",
  },
  (frame, at) => {
    const [rowBlocks, columnBlocks, row, column, batch, start, depth] = frame.locals("i32", 7);
    const blocks = (count: Local, block: Local): Code =>
      i32.divide(i32.subtract(i32.add(get(count), get(block)), i32.constant(1)), get(block));
    const product = (narrow: boolean): Code => {
      const width = i32.constant(tileWidth(frame.shape.tileColumns, narrow));
      const rows = i32.constant(tileRows(narrow));
      const shifted = (base: Local, ...steps: Code[]): Code => steps.reduce((sum, step) => i32.add(sum, step), get(base));
      return callProduct(frame, narrow, {
        a: shifted(at.a, i32.multiply(i32.divide(get(row), rows), get(at.aPanel)), i32.multiply(get(start), get(at.aDepth))),
        aPanel: get(at.aPanel), aRow: get(at.aRow), aDepth: get(at.aDepth),
        b: shifted(at.b, i32.multiply(i32.divide(get(column), width), get(at.bPanel)), i32.multiply(get(start), get(at.bDepth))),
        bPanel: get(at.bPanel), bDepth: get(at.bDepth),
        c: shifted(at.c, i32.multiply(get(row), get(at.cRow)), i32.shiftLeft(get(column), i32.constant(2))),
        cRow: get(at.cRow),
        m: i32.min(get(at.rowBlock), i32.subtract(get(at.m), get(row))),
        n: i32.min(get(at.columnBlock), i32.subtract(get(at.n), get(column))),
        k: get(depth),
        accumulate: get(at.accumulate), scratch: get(at.scratch),
      });
    };
    return [
      set(rowBlocks, blocks(at.m, at.rowBlock)),
      set(columnBlocks, blocks(at.n, at.columnBlock)),
      set(column, i32.multiply(i32.remainder(get(at.unit), get(columnBlocks)), get(at.columnBlock))),
      set(row, i32.divide(get(at.unit), get(columnBlocks))),
      set(batch, i32.divide(get(row), get(rowBlocks))),
      set(row, i32.multiply(i32.remainder(get(row), get(rowBlocks)), get(at.rowBlock))),
      increase(at.a, i32.multiply(get(batch), get(at.aBatch))),
      increase(at.b, i32.multiply(get(batch), get(at.bBatch))),
      increase(at.c, i32.multiply(get(batch), get(at.cBatch))),
      countUp(start, PASS_DEPTH, get(at.k), [
        set(depth, i32.min(i32.constant(PASS_DEPTH), i32.subtract(get(at.k), get(start)))),
        ifElse(get(at.narrow), [product(true)], [product(false)]),
        set(at.accumulate, i32.constant(1)),
      ]),
    ];
  },
);

const PACK_ARGS = {
  source: "in", sourceBatch: "i32", target: "out", panel: "i32", panels: "i32", total: "i32", count: "i32",
  depth: "i32", stride: "i32", perUnit: "i32",
} as const;

/** A kernel that packs the panels of a unit, counted through all matrices of the batch. */
const packing = (name: string, packOne: (frame: Frame, at: PackLocals, panel: Code, source: Code, target: Code) => Code) =>
  kernel(name, PACK_ARGS, (frame, at) => {
    const [index, end] = frame.locals("i32", 2);
    const panel = i32.remainder(get(index), get(at.panels));
    const source = i32.add(get(at.source), i32.multiply(i32.divide(get(index), get(at.panels)), get(at.sourceBatch)));
    const target = i32.add(get(at.target), i32.multiply(get(index), get(at.panel)));
    return [
      set(index, i32.multiply(get(at.unit), get(at.perUnit))),
      set(end, i32.min(i32.add(get(index), get(at.perUnit)), get(at.total))),
      countWhile(index, 1, get(end), [packOne(frame, at, panel, source, target)]),
    ];
  });

/** From rows: `panels` of a matrix [count, depth], `total` in all. */
const packRows = (width: PanelWidth) =>
  packing(`packRows${width}`, (frame, at, panel, source, target) =>
    frame.call(`rowPanel${width}`, source, target, panel, get(at.count), get(at.depth), get(at.stride)),
  );

/** From columns: `panels` of a matrix [depth, count], `total` in all. */
const packColumns = (width: PanelWidth) =>
  packing(`packColumns${width}`, (frame, at, panel, source, target) =>
    frame.call(`columnPanel${width}`, source, target, panel, get(at.depth), get(at.stride)),
  );

/** B from storage [n, k], for wide tiles. */
export const packRowsWide = packRows("Wide");
/** B from storage [n, k], for narrow tiles. */
export const packRowsNarrow = packRows("Narrow");
/** B from storage [k, n]. */
export const packColumnsWide = packColumns("Wide");
/** A from storage [k, m]. */
export const packColumnsA = packColumns("A");

type PackLocals = Readonly<Record<keyof typeof PACK_ARGS | "unit", Local>>;
