import type { StoredFormat } from "../../tensor/dtype.ts";
import { type Code, countUp, countWhile, type Frame, get, ifElse, increase, type Local, set } from "./assembler.ts";
import { f32, f32x4, i32, v128 } from "./instructions.ts";
import { type Kernel, kernel } from "./kernel.ts";
import { rowAt } from "./row-kernels.ts";
import { StoredDecoder, WEIGHT_FORMATS, type WeightFormat } from "./stored-decoder.ts";

const STORED: readonly StoredFormat[] = ["f16", "bf16", "q8_0", "q4_0", "q4_1"];

const forFormats = <F extends WeightFormat, K>(formats: readonly F[], make: (format: F) => K): Readonly<Record<F, K>> =>
  Object.fromEntries(formats.map((format) => [format, make(format)])) as Record<F, K>;

/** Advance a pointer by a number of bytes. */
const advance = (pointer: Local, bytes: number): Code => increase(pointer, i32.constant(bytes));

/**
 * Runs of `length` elements that begin `stride` elements apart, the first at element `first`, as f32 one after the
 * other, `total` in all. Of blocks, all of these are whole.
 *
 *     unit = a run
 *     for each step: decode, store
 *     the elements that are no step of f16 and bf16: decode a step, store it aside, copy what counts
 */
export const decodeRuns = forFormats(STORED, (format) =>
  kernel(
    `decodeRuns ${format}`,
    { integers: "in", scales: "in", out: "out", first: "i32", length: "i32", stride: "i32", total: "i32" },
    (frame, at) => {
      const decoder = new StoredDecoder(frame, format);
      const [element, rest, from] = frame.locals("i32", 3);
      const vectors = frame.locals("v128", 2) as [Local, Local];
      const address = { integers: get(at.integers), scale: get(at.scales) };
      const step = (target: Local): Code[] => [
        ...decoder.prepare(address),
        ...Array.from({ length: decoder.pairs }, (_, pair) => [
          ...decoder.pair(pair, address, vectors).flat(),
          ...vectors.flatMap((vector, v) => v128.store(get(target), pair * 32 + v * 16, get(vector))),
        ]),
      ];
      const done = i32.multiply(get(at.unit), get(at.length));
      const { integers, scale } = decoder.offsets(get(element));
      return [
        ...decoder.start(),
        set(element, i32.add(get(at.first), i32.multiply(get(at.unit), get(at.stride)))),
        set(rest, i32.min(get(at.length), i32.subtract(get(at.total), done))),
        increase(at.integers, integers),
        increase(at.scales, scale),
        increase(at.out, i32.shiftLeft(done, i32.constant(2))),
        set(element, i32.constant(0)),
        countWhile(element, decoder.elements, i32.subtract(get(rest), i32.remainder(get(rest), i32.constant(decoder.elements))), [
          ...step(at.out),
          advance(at.integers, decoder.integerBytes),
          advance(at.scales, decoder.scaleBytes),
          advance(at.out, decoder.elements * 4),
        ]),
        ifElse(i32.lessThan(get(element), get(rest)), [
          ...step(at.scratch),
          set(from, get(at.scratch)),
          countUp(element, 1, get(rest), [
            i32.store(get(at.out), 0, i32.load(get(from), 0)),
            advance(from, 4),
            advance(at.out, 4),
          ]),
        ]),
      ];
    },
  ),
);

/** Bytes of memory of its own that a unit of `decodeRuns` needs. */
export const DECODE_SCRATCH = 128;

/** Bytes of memory of its own that a unit of `linearRows` needs. */
export const LINEAR_SCRATCH = 32;

const LINEAR_ARGS = {
  integers: "in", scales: "in", x: "in", y: "out", rows: "i32", m: "i32", k: "i32", columnsAUnit: "i32",
} as const;
/** Rows of x that share what is decoded. */
const TOGETHER = 4;
/** Rows of the weight beside each other for a single row of x: sums that do not wait for each other. */
const BESIDE = 2;

/**
 * `y[rows, m] = x[rows, k] · weightᵀ` for few rows, of a weight [m, k] that is decoded in registers; k is whole steps.
 * A format gives the bits that the f32 it decodes to gives.
 *
 *     unit = some rows of the weight
 *     for each row of the weight, for each four of x; then, where one row of x is left, for each two of the weight:
 *       for each step: decode, sums += decoded · x
 */
export const linearRows = forFormats(WEIGHT_FORMATS, (format) =>
  kernel(`linearRows ${format}`, LINEAR_ARGS, (frame, at) => {
    const [start, column, last, row, together] = frame.locals("i32", 5);
    const tiles = (weights: number, rows: number, from: Code, to: Local): Code => {
      const tile = new DotTile(frame, format, weights, rows);
      return [
        ...tile.start().flat(),
        ...set(column, get(start)),
        ...countWhile(column, weights, get(last), [
          set(row, from),
          countWhile(row, rows, get(to), tile.compute(at, column, row)),
        ]),
      ];
    };
    return [
      set(start, i32.multiply(get(at.unit), get(at.columnsAUnit))),
      set(last, i32.min(i32.add(get(start), get(at.columnsAUnit)), get(at.m))),
      set(together, i32.subtract(get(at.rows), i32.equal(i32.remainder(get(at.rows), i32.constant(TOGETHER)), i32.constant(1)))),
      tiles(1, TOGETHER, i32.constant(0), together),
      tiles(BESIDE, 1, get(together), at.rows),
    ];
  }),
);

type LinearLocals = Readonly<Record<keyof typeof LINEAR_ARGS | "scratch", Local>>;

/** The products of some rows of a weight with some rows of x. */
class DotTile {
  readonly #decoders: readonly StoredDecoder[];
  readonly #frame: Frame;
  /** By row of the weight and row of x, in a part for each vector of a pair. */
  readonly #sums: readonly (readonly (readonly [Local, Local])[])[];
  readonly #columns: readonly Local[];
  readonly #rows: readonly Local[];
  readonly #integers: readonly Local[];
  readonly #scales: readonly Local[];
  readonly #x: readonly Local[];
  readonly #values: readonly (readonly [Local, Local])[];
  readonly #decoded: readonly [Local, Local];
  readonly #end: Local;

  constructor(frame: Frame, format: WeightFormat, weights: number, rows: number) {
    const each = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);
    const pair = (): [Local, Local] => [frame.local("v128"), frame.local("v128")];
    this.#decoders = each(weights, () => new StoredDecoder(frame, format));
    this.#sums = each(weights, () => each(rows, pair));
    this.#frame = frame;
    this.#columns = frame.locals("i32", weights);
    this.#rows = frame.locals("i32", rows);
    this.#integers = frame.locals("i32", weights);
    this.#scales = frame.locals("i32", weights);
    this.#x = frame.locals("i32", rows);
    this.#values = each(rows, pair);
    this.#decoded = pair();
    this.#end = frame.local("i32");
  }

  /** Runs once, before all tiles. */
  start(): Code[] {
    return this.#decoders.flatMap((decoder) => decoder.start());
  }

  /** The tile at a row of the weight and a row of x; rows beyond the last one repeat it and store the same numbers. */
  compute(at: LinearLocals, column: Local, row: Local): Code[] {
    const [decoder] = this.#decoders;
    const { elements, integerBytes, scaleBytes } = decoder;
    const existing = (first: Local, i: number, count: Local): Code =>
      i32.min(i32.add(get(first), i32.constant(i)), i32.subtract(get(count), i32.constant(1)));
    return [
      ...this.#columns.flatMap((own, w) => {
        const { integers, scale } = decoder.offsets(i32.multiply(get(own), get(at.k)));
        return [
          set(own, existing(column, w, at.m)),
          set(this.#integers[w], i32.add(get(at.integers), integers)),
          set(this.#scales[w], i32.add(get(at.scales), scale)),
        ];
      }),
      ...this.#rows.map((own, r) => set(own, existing(row, r, at.rows))),
      ...this.#x.map((x, r) => set(x, rowAt(at.x, this.#rows[r], at.k))),
      ...this.#sums.flat(2).map((part) => set(part, v128.zero())),
      set(this.#end, i32.add(get(this.#x[0]), i32.shiftLeft(get(at.k), i32.constant(2)))),
      countUp(this.#x[0], elements * 4, get(this.#end), [
        ...this.#step(),
        ...this.#integers.map((pointer) => advance(pointer, integerBytes)),
        ...this.#scales.map((pointer) => advance(pointer, scaleBytes)),
        ...this.#x.slice(1).map((x) => advance(x, elements * 4)),
      ]),
      ...this.#store(at),
    ];
  }

  #step(): Code[] {
    const addresses = this.#integers.map((integers, w) => ({ integers: get(integers), scale: get(this.#scales[w]) }));
    const [{ pairs }] = this.#decoders;
    // What one row of the weight uses need not be kept.
    const isKept = this.#decoders.length > 1;
    const loaded = (pair: number, r: number, v: number): Code => v128.load(get(this.#x[r]), pair * 32 + v * 16);
    return [
      ...this.#decoders.flatMap((decoder, w) => decoder.prepare(addresses[w])),
      ...Array.from({ length: pairs }, (_, pair) => [
        ...(isKept ? this.#values.flatMap((vectors, r) => vectors.map((vector, v) => set(vector, loaded(pair, r, v)))) : []),
        ...this.#decoders.flatMap((decoder, w) => [
          ...decoder.pair(pair, addresses[w], this.#decoded),
          ...this.#decoded.flatMap((vector, v) =>
            this.#sums[w].map((parts, r) => {
              const x = isKept ? get(this.#values[r][v]) : loaded(pair, r, v);
              return set(parts[v], this.#frame.multiplyAdd(get(vector), x, get(parts[v])));
            }),
          ),
        ]),
      ].flat()),
    ];
  }

  /** The halves of each sum meet in memory: engines fold vectors into pairs from neighbouring stores backwards. */
  #store(at: LinearLocals): Code[] {
    return this.#sums.flatMap((sums, w) =>
      sums.flatMap((parts, r) => {
        const index = i32.add(i32.multiply(get(this.#rows[r]), get(at.m)), get(this.#columns[w]));
        const address = i32.add(get(at.y), i32.shiftLeft(index, i32.constant(2)));
        const [both] = this.#decoded;
        const lane = (i: number): Code => f32x4.lane(get(both), i);
        return [
          ...parts.map((part, v) => v128.store(get(at.scratch), v * 16, get(part))),
          set(both, f32x4.add(v128.load(get(at.scratch), 0), v128.load(get(at.scratch), 16))),
          f32.store(address, 0, f32.add(f32.add(lane(0), lane(1)), f32.add(lane(2), lane(3)))),
        ];
      }),
    );
  }
}

/** Every kernel that reads stored formats. */
export const storedKernels: readonly Kernel[] = [...Object.values(decodeRuns), ...Object.values(linearRows)];
