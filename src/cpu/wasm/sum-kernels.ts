import { type Code, countUp, countWhile, type Frame, get, increase, type Local, set } from "./assembler.ts";
import { f64, f64x2, i32, shuffleWords, v128 } from "./instructions.ts";
import { kernel } from "./kernel.ts";
import { eachRow } from "./row-kernels.ts";
import { eachFloats } from "./vectors.ts";

/** Columns that are summed side by side: a cache line of floats. */
export const COLUMN_GROUP = 16;
const FLOAT = 4;
const DOUBLE = 8;
const VECTOR = 16;

/** What is added up of each element. */
export type SumTerm = "value" | "square";

/** Four sums in double precision. */
class DoubleSums {
  readonly #low: Local;
  readonly #high: Local;
  readonly #part: Local;
  readonly #term: SumTerm;

  constructor(frame: Frame, term: SumTerm) {
    [this.#low, this.#high, this.#part] = frame.locals("v128", 3);
    this.#term = term;
  }

  clear(): Code[] {
    return [set(this.#low, v128.zero()), set(this.#high, v128.zero())];
  }

  /** Add four floats. */
  add(x: Code): Code[] {
    const plus = (sums: Local, lanes: Code): Code[] => {
      const part = get(this.#part);
      const term = this.#term === "square" ? f64x2.multiply(part, part) : part;
      return [set(this.#part, f64x2.fromLowFloats(lanes)), set(sums, f64x2.add(get(sums), term))];
    };
    return [...plus(this.#low, x), ...plus(this.#high, shuffleWords(x, x, [2, 3, 2, 3]))];
  }

  /** Add those of another. */
  absorb(other: DoubleSums): Code[] {
    return [
      set(this.#low, f64x2.add(get(this.#low), get(other.#low))),
      set(this.#high, f64x2.add(get(this.#high), get(other.#high))),
    ];
  }

  /** Store the four sums, or the first alone. */
  store(address: Code, isSingle: boolean): Code[] {
    if (isSingle) return [f64.store(address, 0, f64x2.lane(get(this.#low), 0))];
    return [v128.store(address, 0, get(this.#low)), v128.store(address, VECTOR, get(this.#high))];
  }

  /** All four in one. */
  total(): Code {
    const both = f64x2.add(get(this.#low), get(this.#high));
    return [...set(this.#part, both), ...f64.add(f64x2.lane(get(this.#part), 0), f64x2.lane(get(this.#part), 1))];
  }
}

/**
 * The sum of each run, in f64: the rows of x [*, d] are cut into `perRow` runs of `length` floats, the last of a row shorter.
 *
 *     for each run: for each pair of vectors: eight sums in f64; add them up
 */
const runKernel = (name: string, term: SumTerm) =>
  kernel(
    name,
    { x: "in", sums: "out", d: "i32", length: "i32", perRow: "i32", rows: "i32", rowsAUnit: "i32" },
    (frame, at) => {
      const [position, end, first] = frame.locals("i32", 3);
      const sums = [new DoubleSums(frame, term), new DoubleSums(frame, term)];
      return eachRow(frame, at, (run) => [
        // Floats of the row before the run, then the run's first and last bytes.
        set(first, i32.multiply(i32.remainder(get(run), get(at.perRow)), get(at.length))),
        set(end, i32.min(i32.add(get(first), get(at.length)), get(at.d))),
        set(position, i32.multiply(i32.divide(get(run), get(at.perRow)), get(at.d))),
        set(end, i32.shiftLeft(i32.add(get(position), get(end)), i32.constant(2))),
        set(position, i32.shiftLeft(i32.add(get(position), get(first)), i32.constant(2))),
        ...sums.flatMap((sum) => sum.clear()),
        ...eachFloats(frame, position, end, {
          reads: { x: get(at.x) },
          body: ({ x }, { v }) => ({ run: sums[v].add(x) }),
        }),
        ...sums[0].absorb(sums[1]),
        f64.store(i32.add(get(at.sums), i32.multiply(get(run), i32.constant(DOUBLE))), 0, sums[0].total()),
      ]);
    },
  );

/**
 * `sums[o, j] = Σ over i of x[o, i, j]`, in f64, for x [outer, reduced, inner]. A unit takes `columnsAUnit` columns (a multiple of
 * the group) of `outerAUnit` blocks.
 *
 *     for each block, for each group of columns: for each row: sums of all columns of the group; store them
 */
const columnKernel = (name: string, term: SumTerm) =>
  kernel(
    name,
    { x: "in", sums: "out", outer: "i32", reduced: "i32", inner: "i32", columnsAUnit: "i32", outerAUnit: "i32" },
    (frame, at) => {
      const [block, lastBlock, chunks, column, start, end, row, source] = frame.locals("i32", 8);
      const sums = Array.from({ length: COLUMN_GROUP / 4 }, () => new DoubleSums(frame, term));
      const input = frame.local("v128");
      const columns = (width: number): Code => {
        const parts = sums.slice(0, Math.ceil(width / 4));
        const load = width === 1 ? v128.loadZero : v128.load;
        const origin = i32.multiply(i32.multiply(get(block), get(at.reduced)), get(at.inner));
        const target = i32.add(i32.multiply(get(block), get(at.inner)), get(column));
        return countWhile(column, width, i32.and(get(end), i32.constant(-width)), [
          ...parts.flatMap((part) => part.clear()),
          set(source, i32.add(get(at.x), i32.multiply(i32.add(origin, get(column)), i32.constant(FLOAT)))),
          set(row, i32.constant(0)),
          countUp(row, 1, get(at.reduced), [
            ...parts.flatMap((part, v) => [set(input, load(get(source), v * VECTOR)), ...part.add(get(input))]),
            increase(source, i32.multiply(get(at.inner), i32.constant(FLOAT))),
          ]),
          set(source, i32.add(get(at.sums), i32.multiply(target, i32.constant(DOUBLE)))),
          ...parts.flatMap((part, v) => part.store(i32.add(get(source), i32.constant(v * 2 * VECTOR)), width === 1)),
        ]);
      };
      const ceiling = (x: Local, by: Local): Code =>
        i32.divide(i32.subtract(i32.add(get(x), get(by)), i32.constant(1)), get(by));
      return [
        set(chunks, ceiling(at.inner, at.columnsAUnit)),
        set(block, i32.multiply(i32.divide(get(at.unit), get(chunks)), get(at.outerAUnit))),
        set(lastBlock, i32.min(i32.add(get(block), get(at.outerAUnit)), get(at.outer))),
        set(start, i32.multiply(i32.remainder(get(at.unit), get(chunks)), get(at.columnsAUnit))),
        set(end, i32.min(i32.add(get(start), get(at.columnsAUnit)), get(at.inner))),
        countWhile(block, 1, get(lastBlock), [
          set(column, get(start)),
          ...[COLUMN_GROUP, 4, 1].map(columns),
        ]),
      ];
    },
  );

/** The kernels over runs. */
export const runSums = { value: runKernel("runSums", "value"), square: runKernel("runSquares", "square") };
/** The kernels over columns. */
export const columnSums = { value: columnKernel("columnSums", "value"), square: columnKernel("columnSquares", "square") };
