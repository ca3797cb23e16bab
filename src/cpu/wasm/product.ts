import {
  type Code, countUp, countWhile, type Frame, type FunctionSource, get, ifElse, increase, type Local, set,
} from "./assembler.ts";
import { i32, v128 } from "./instructions.ts";

/** Tile of the narrow product: for C of few columns, more rows keep the multipliers busy. */
const WIDE_ROWS = 4;
const NARROW_ROWS = 8;

const NAMES = [
  "a", "aPanel", "aRow", "aDepth", "b", "bPanel", "bDepth", "c", "cRow", "m", "n", "k", "accumulate", "scratch",
] as const;

/** Arguments of the two products by name. Addresses and strides in bytes. */
export type ProductArgs = Readonly<Record<(typeof NAMES)[number], Code>>;

/** Rows of a tile. */
export const tileRows = (narrow: boolean): number => (narrow ? NARROW_ROWS : WIDE_ROWS);

/** Columns of a tile. */
export const tileWidth = (tileColumns: number, narrow: boolean): number => (narrow ? tileColumns / 2 : tileColumns);

/**
 * `C[m, n] (+)= A[m, k] · B[k, n]`, called with {@link callProduct}. Row `i` of A, step `p`, is at
 * `a + ⌊i / rows⌋·aPanel + (i mod rows)·aRow + p·aDepth`; the columns of B from `j·width` on, step `p`, at
 * `b + j·bPanel + p·bDepth`. So operands need no copy unless their strides are bad for the cache.
 *
 *     for each tile's columns of B
 *       for each tile's rows of A       // rows beyond the last one repeat it: they store the same numbers
 *         tile = accumulate ? C : 0
 *         for p < k: tile += A[:, p] ⊗ B[p, :]
 *         C = tile                      // a last tile that is not full goes through the scratch memory
 */
export function productFunctions(): FunctionSource[] {
  return [false, true].map((narrow) => ({
    name: narrow ? "productNarrow" : "productWide",
    exported: false,
    params: NAMES.map(() => "i32" as const),
    body(frame, params) {
      const at = Object.fromEntries(NAMES.map((name, i) => [name, params[i]])) as Record<keyof ProductArgs, Local>;
      const width = tileWidth(frame.shape.tileColumns, narrow);
      const rows = tileRows(narrow);
      const [i, j, panelA, tileC, ragged] = frame.locals("i32", 5);
      const tile = new Tile(frame, rows, width, at);
      const left = i32.subtract(get(at.n), get(j));
      return [
        countWhile(j, width, get(at.n), [
          set(panelA, get(at.a)),
          set(tileC, get(at.c)),
          set(ragged, i32.lessThan(left, i32.constant(width))),
          set(i, i32.constant(0)),
          countWhile(i, rows, get(at.m), [
            ...tile.compute(panelA, tileC, ragged, left, i32.subtract(get(at.m), get(i))),
            increase(panelA, get(at.aPanel)),
            increase(tileC, i32.multiply(get(at.cRow), i32.constant(rows))),
          ]),
          increase(at.b, get(at.bPanel)),
          increase(at.c, i32.constant(width * 4)),
        ]),
      ];
    },
  }));
}

/** Call one of the products. */
export function callProduct(frame: Frame, narrow: boolean, args: ProductArgs): Code {
  return frame.call(narrow ? "productNarrow" : "productWide", ...NAMES.map((name) => args[name]));
}

/** One tile of C in vector locals. */
class Tile {
  readonly #frame: Frame;
  readonly #width: number;
  readonly #at: Readonly<Record<keyof ProductArgs, Local>>;
  readonly #sums: Local[][];
  readonly #rowB: Local[];
  readonly #valueA: Local;
  readonly #pointers: Local[];
  readonly #stepB: Local;
  readonly #end: Local;
  readonly #last: Local;
  readonly #out: Local;
  readonly #outRow: Local;
  readonly #counter: Local;

  constructor(frame: Frame, rows: number, width: number, at: Readonly<Record<keyof ProductArgs, Local>>) {
    this.#frame = frame;
    this.#width = width;
    this.#at = at;
    this.#sums = Array.from({ length: rows }, () => frame.locals("v128", width / 4));
    this.#rowB = frame.locals("v128", width / 4);
    this.#valueA = frame.local("v128");
    this.#pointers = frame.locals("i32", rows);
    [this.#stepB, this.#end, this.#last, this.#out, this.#outRow, this.#counter] = frame.locals("i32", 6);
  }

  /** The tile whose rows of A start at `panelA`; `columns` and `rows` may be more than the tile has. */
  compute(panelA: Local, tileC: Local, ragged: Local, columns: Code, rows: Code): Code[] {
    const { accumulate, scratch, cRow } = this.#at;
    const last = this.#pointers.length - 1;
    const copied = (toScratch: boolean): Code[] => this.#copy(tileC, columns, toScratch);
    return [
      set(this.#last, i32.min(i32.constant(last), i32.subtract(rows, i32.constant(1)))),
      set(this.#out, get(tileC)),
      set(this.#outRow, get(cRow)),
      ifElse(get(ragged), [
        ifElse(get(accumulate), copied(true)),
        set(this.#out, get(scratch)),
        set(this.#outRow, i32.constant(this.#width * 4)),
      ]),
      ifElse(
        get(accumulate),
        this.#eachVector((sum, address, offset) => set(sum, v128.load(address, offset))),
        this.#sums.flat().map((sum) => set(sum, v128.zero())),
      ),
      ...this.#rowPointers(get(panelA), this.#at.aRow),
      ...this.#steps(),
      ...this.#eachVector((sum, address, offset) => v128.store(address, offset, get(sum))),
      ifElse(get(ragged), copied(false)),
    ];
  }

  /** Over the depth: one step of A and B a turn. */
  #steps(): Code[] {
    const { b, bDepth, aDepth, k } = this.#at;
    return [
      set(this.#stepB, get(b)),
      set(this.#end, i32.add(get(b), i32.multiply(get(k), get(bDepth)))),
      [
        0x03, 0x40,
        ...this.#rowB.flatMap((x, v) => set(x, v128.load(get(this.#stepB), v * 16))),
        ...this.#sums.flatMap((row, r) => [
          ...set(this.#valueA, v128.loadSplat(get(this.#pointers[r]), 0)),
          ...increase(this.#pointers[r], get(aDepth)),
          ...row.flatMap((sum, v) =>
            set(sum, this.#frame.multiplyAdd(get(this.#valueA), get(this.#rowB[v]), get(sum))),
          ),
        ]),
        ...increase(this.#stepB, get(bDepth)),
        ...i32.lessThan(get(this.#stepB), get(this.#end)),
        0x0d, 0, 0x0b,
      ],
    ];
  }

  /** Point at the rows of the tile: those beyond the last one at the last one. */
  #rowPointers(first: Code, stride: Local): Code[] {
    return this.#pointers.map((pointer, r) => {
      if (r === 0) return set(pointer, first);
      const isBeyond = i32.lessThan(get(this.#last), i32.constant(r));
      return set(pointer, i32.add(get(this.#pointers[r - 1]), i32.select(isBeyond, i32.constant(0), get(stride))));
    });
  }

  #eachVector(visit: (sum: Local, address: Code, offset: number) => Code): Code[] {
    return [
      ...this.#rowPointers(get(this.#out), this.#outRow),
      ...this.#sums.flatMap((row, r) => row.map((sum, v) => visit(sum, get(this.#pointers[r]), v * 16))),
    ];
  }

  /** Copy the columns that exist between C and the scratch tile. */
  #copy(tileC: Local, columns: Code, toScratch: boolean): Code[] {
    const { scratch, cRow } = this.#at;
    const [row, at, own] = [this.#counter, this.#stepB, this.#end];
    const inC = i32.add(get(tileC), i32.multiply(get(row), get(cRow)));
    const inTile = i32.add(get(scratch), i32.multiply(get(row), i32.constant(this.#width * 4)));
    const end = i32.add(inC, i32.shiftLeft(columns, i32.constant(2)));
    return [
      set(row, i32.constant(0)),
      countUp(row, 1, i32.add(get(this.#last), i32.constant(1)), [
        set(at, inC),
        set(own, inTile),
        countUp(at, 4, end, [
          toScratch
            ? i32.store(get(own), 0, i32.load(get(at), 0))
            : i32.store(get(at), 0, i32.load(get(own), 0)),
          increase(own, i32.constant(4)),
        ]),
      ]),
    ];
  }
}
