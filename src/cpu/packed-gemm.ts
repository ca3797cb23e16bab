import { giveArray, type PooledArray, takeTemporary } from "../tensor/array-pool.ts";
import { BLOCK } from "../tensor/dtype.ts";
import { DeviceError } from "../tensor/errors.ts";
import { decodeRunsOn, type Packed } from "./decode-runs.ts";
import type { Engine } from "./engine.ts";
import type { Gemm, GemmMode } from "./gemm-types.ts";
import { loopGemm } from "./loops.ts";
import type { Kernel } from "./wasm/kernel.ts";
import { gemmBlocks, packColumnsA, packColumnsWide, packRowsNarrow, packRowsWide } from "./wasm/gemm-kernel.ts";
import { tileRows, tileWidth } from "./wasm/product.ts";

/** Rows of C that a unit computes: their part of A stays in the L2 cache. */
const UNIT_ROWS = 64;
/** Columns of C that a unit computes at most, and at least where there are few rows. */
const UNIT_COLUMNS = 512;
const FEW_COLUMNS = 64;
/** Depth of one pass over the operands, and floats of B that are packed at a time: what they read is near then. */
const PART_DEPTH = 4096;
const PACKED_FLOATS = 2 * 1024 * 1024;
/** The same of a B that is decoded, which is read once more to be packed: and where its rows are steps, so many at a time. */
const DECODED_FLOATS = 512 * 1024;
const DECODED_STEPS = 512;
/** Floats of an operand that a unit packs. */
const PACK_UNIT = 16_384;
/** Packing pays where a panel is read by that many rows of tiles. */
const PACK_ROWS = 48;
/** Costs in ns on one thread, for a rough idea: of a multiply-add, and of packing a float. */
const MADD_COST = 0.02;
const PACK_COST = 0.3;
/** An unfinished tile. */
const TILE_BYTES = 512;

/** An operand as the kernel reads it: strides in bytes. */
interface Layout {
  readonly data: Float32Array;
  readonly batch: number;
  readonly panel: number;
  readonly row: number;
  readonly depth: number;
}

/** What is multiplied. */
interface Operands {
  readonly a: Float32Array;
  /** In a stored format: only of one product, not a batch. */
  readonly b: Float32Array | Packed;
  readonly out: Float32Array;
  readonly accumulate: boolean;
}

/** One call's sizes. */
interface Sizes {
  readonly mode: GemmMode;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batch: number;
}

/** A part of a call: some columns of C, some steps of the depth. */
interface Part {
  readonly column: number;
  readonly columns: number;
  readonly start: number;
  readonly depth: number;
}

/** The product on the kernels of an engine. Needs m, n, k and batch of at least 1. */
export function packedGemm(engine: Engine): Gemm {
  return (mode, m, n, k, a, b, out, accumulate, batch = 1) => {
    if (multiplyParts(engine, { mode, m, n, k, batch }, { a, b, out, accumulate })) return;
    loopGemm(mode, m, n, k, a, b, out, accumulate, batch);
  };
}

/**
 * The product part by part. False where there is no memory: nothing was computed.
 *
 * @throws DeviceError where the memory ends between parts
 */
export function multiplyParts(engine: Engine, sizes: Sizes, { a, b, out, accumulate }: Operands): boolean {
  const { mode, n, k, batch } = sizes;
  const isPlain = b instanceof Float32Array;
  const deepest = batch > 1 ? k : Math.min(k, isPlain || mode === "NT" ? PART_DEPTH : DECODED_STEPS);
  // A batch is packed whole: its matrices are small. Parts are whole tiles, and whole blocks of stored formats.
  const floats = isPlain ? PACKED_FLOATS : DECODED_FLOATS;
  const widest = batch > 1 ? n : Math.max(BLOCK, Math.floor(floats / deepest / BLOCK) * BLOCK);
  for (let column = 0; column < n; column += widest) {
    for (let start = 0; start < k; start += deepest) {
      const columns = Math.min(widest, n - column);
      const part = new PackedProduct(engine, sizes, { column, columns, start, depth: Math.min(deepest, k - start) });
      if (part.run({ a, b, out, accumulate: accumulate || start > 0 })) continue;
      if (column + start > 0) throw new DeviceError("the CPU's memory is full: nothing is left to multiply matrices in");
      return false;
    }
  }
  return true;
}

/** One part of a product. */
class PackedProduct {
  readonly #engine: Engine;
  readonly #sizes: Sizes;
  readonly #part: Part;
  readonly #isNarrow: boolean;
  readonly #temporary: PooledArray[] = [];

  constructor(engine: Engine, sizes: Sizes, part: Part) {
    this.#engine = engine;
    this.#sizes = sizes;
    this.#part = part;
    this.#isNarrow = part.columns <= tileWidth(engine.shape.tileColumns, true);
  }

  /** False where there is no memory: nothing was computed. */
  run({ a, b, out, accumulate }: Operands): boolean {
    try {
      const left = this.#layoutA(a);
      const right = left && this.#layoutB(b);
      return right !== null && this.#multiply(left as Layout, right, out, accumulate);
    } finally {
      for (const pooled of this.#temporary) giveArray("f32", pooled);
    }
  }

  #multiply(a: Layout, b: Layout, out: Float32Array, accumulate: boolean): boolean {
    const { m, n, batch } = this.#sizes;
    const { column, columns, depth } = this.#part;
    const width = tileWidth(this.#engine.shape.tileColumns, this.#isNarrow);
    const rowBlock = UNIT_ROWS;
    const rowBlocks = Math.ceil(m / rowBlock);
    const wanted = rowBlocks * batch < 8 ? FEW_COLUMNS : UNIT_COLUMNS;
    const columnBlock = Math.min(wanted, Math.ceil(columns / width) * width);
    return this.#engine.launch(
      gemmBlocks,
      {
        a: a.data, aBatch: a.batch, aPanel: a.panel, aRow: a.row, aDepth: a.depth,
        b: b.data, bBatch: b.batch, bPanel: b.panel, bDepth: b.depth,
        c: from(out, column), cBatch: m * n * 4, cRow: n * 4,
        m, n: columns, k: depth,
        accumulate: accumulate ? 1 : 0, narrow: this.#isNarrow ? 1 : 0, rowBlock, columnBlock,
      },
      {
        units: batch * rowBlocks * Math.ceil(columns / columnBlock),
        cost: batch * m * columns * depth * MADD_COST,
        scratch: TILE_BYTES,
      },
    );
  }

  /** A is read in place, unless its rows are strided and many tiles of columns read them. */
  #layoutA(a: Float32Array): Layout | null {
    const { mode, m, k } = this.#sizes;
    const { start, columns } = this.#part;
    const rows = tileRows(this.#isNarrow);
    const batch = m * k * 4;
    if (mode !== "TN") return { data: from(a, start), batch, panel: rows * k * 4, row: k * 4, depth: 4 };
    const own = from(a, start * m);
    if (this.#isNarrow || columns < PACK_ROWS || m < PACK_ROWS) {
      return { data: own, batch, panel: rows * 4, row: 4, depth: m * 4 };
    }
    const panels = this.#pack(packColumnsA, own, { width: rows, count: m, stride: m, batch });
    return panels && { ...panels, row: 4, depth: rows * 4 };
  }

  /** B is packed where its columns are strided, or many rows of tiles read them. */
  #layoutB(whole: Float32Array | Packed): Layout | null {
    const { mode, n, k } = this.#sizes;
    const { columns } = this.#part;
    const own = this.#partOfB(whole);
    if (!own) return null;
    const { data, stride } = own;
    const width = tileWidth(this.#engine.shape.tileColumns, this.#isNarrow);
    const depth = width * 4;
    const batch = k * n * 4;
    if (mode === "NT") {
      const kernel = this.#isNarrow ? packRowsNarrow : packRowsWide;
      const panels = this.#pack(kernel, data, { width, count: columns, stride, batch });
      return panels && { ...panels, row: 0, depth };
    }
    if (this.#isNarrow || !this.#hasBadStride(stride)) {
      return { data, batch, panel: width * 4, row: 0, depth: stride * 4 };
    }
    const panels = this.#pack(packColumnsWide, data, { width, count: columns, stride, batch });
    return panels && { ...panels, row: 0, depth };
  }

  /** The part of B in f32, and how far its rows are apart. */
  #partOfB(whole: Float32Array | Packed): { readonly data: Float32Array; readonly stride: number } | null {
    const { mode, n, k } = this.#sizes;
    const { start, column, columns, depth } = this.#part;
    const [stride, length] = mode === "NT" ? [k, depth] : [n, columns];
    const first = mode === "NT" ? column * k + start : start * n + column;
    if (whole instanceof Float32Array) return { data: from(whole, first), stride };
    const pooled = takeTemporary("f32", columns * depth);
    if (!pooled) return null;
    this.#temporary.push(pooled);
    const data = pooled.array as Float32Array;
    return decodeRunsOn(this.#engine, whole, data, { first, length, stride }) ? { data, stride: length } : null;
  }

  /** Whether the steps of a panel of B, n floats apart, crowd into few sets of the L1 cache, for many readers. */
  #hasBadStride(stride: number): boolean {
    return this.#sizes.m >= PACK_ROWS && this.#part.depth > 64 && (stride >= 512 || (stride * 4) % 512 === 0);
  }

  #pack(
    kernel: Kernel<typeof packRowsWide.args>, source: Float32Array,
    { width, count, stride, batch: sourceBatch }: Readonly<Record<"width" | "count" | "stride" | "batch", number>>,
  ): Pick<Layout, "data" | "batch" | "panel"> | null {
    const { batch } = this.#sizes;
    const { depth } = this.#part;
    const panels = Math.ceil(count / width);
    const panel = Math.ceil(depth / 4) * 4 * width;
    const total = batch * panels;
    const pooled = takeTemporary("f32", total * panel);
    if (!pooled) return null;
    this.#temporary.push(pooled);
    const target = pooled.array as Float32Array;
    const perUnit = Math.max(1, Math.floor(PACK_UNIT / panel));
    const isDone = this.#engine.launch(
      kernel,
      { source, sourceBatch, target, panel: panel * 4, panels, total, count, depth, stride: stride * 4, perUnit },
      { units: Math.ceil(total / perUnit), cost: total * panel * PACK_COST },
    );
    return isDone ? { data: target, batch: panels * panel * 4, panel: panel * 4 } : null;
  }
}

/** The array from an element on. */
const from = (array: Float32Array, start: number): Float32Array => (start > 0 ? array.subarray(start) : array);
