import { type Code, countWhile, type Frame, get, ifElse, increase, type Local, set } from "./assembler.ts";
import { scaleRows } from "./attention-rows.ts";
import { i32, v128 } from "./instructions.ts";
import { kernel } from "./kernel.ts";
import { callProduct, type ProductArgs, tileRows, tileWidth } from "./product.ts";
import { eachFloats } from "./vectors.ts";

/** Query rows whose scores are held at a time. */
export const QUERY_ROWS = 32;

const SIZES = {
  mask: "in", t: "i32", s: "i32", g: "i32", m: "i32", d: "i32", scale: "f32", narrow: "i32",
  // Offsets in the scratch memory, and the bytes of a row of scores.
  keysAt: "i32", valuesAt: "i32", biasAt: "i32", factorsAt: "i32", scoresAt: "i32", pulledAt: "i32", scoreRow: "i32",
} as const;

type SizeLocals = Readonly<Record<keyof typeof SIZES | "scratch", Local>>;

/** What both kernels need: addresses and strides of one head, and the products over a tile of query rows. */
class Head {
  readonly #frame: Frame;
  readonly #at: SizeLocals;
  /** Bytes from one position to the next, of queries and of keys. */
  readonly queryRow: Local;
  readonly keyRow: Local;
  /** Rows and visible keys of the tile. */
  readonly rows: Local;
  readonly keys: Local;
  readonly start: Local;

  constructor(frame: Frame, at: SizeLocals) {
    this.#frame = frame;
    this.#at = at;
    [this.queryRow, this.keyRow, this.rows, this.keys, this.start] = frame.locals("i32", 5);
  }

  strides(): Code[] {
    const { d, g, m } = this.#at;
    return [
      set(this.keyRow, i32.multiply(get(g), i32.shiftLeft(get(d), i32.constant(2)))),
      set(this.queryRow, i32.multiply(get(this.keyRow), get(m))),
    ];
  }

  at(offset: "keysAt" | "valuesAt" | "biasAt" | "factorsAt" | "scoresAt" | "pulledAt"): Code {
    return i32.add(get(this.#at.scratch), get(this.#at[offset]));
  }

  /** Pack the keys (or values) of a head as the B of `queries · keysᵀ`. */
  packRows(source: Local, target: Code): Code[] {
    const { s, d } = this.#at;
    return this.#eachPanel(get(s), (panel) =>
      this.#frame.call("rowPanelWide", get(source), i32.add(target, i32.multiply(get(panel), this.#keyPanel())), get(panel), get(s), get(d), get(this.keyRow)),
    );
  }

  /** Pack the values (or keys) of a head as the B of `weights · values`, where they do not fit one narrow panel. */
  packColumns(source: Local, target: Code): Code[] {
    const { s, d, narrow } = this.#at;
    const pack = this.#eachPanel(get(d), (panel) =>
      this.#frame.call("columnPanelWide", get(source), i32.add(target, i32.multiply(get(panel), this.#valuePanel())), get(panel), get(s), get(this.keyRow)),
    );
    return [ifElse(get(narrow), [], pack)];
  }

  /** The tiles of query rows, one after the other. */
  eachTile(body: readonly Code[]): Code[] {
    const { t, s } = this.#at;
    return [
      set(this.start, i32.constant(0)),
      countWhile(this.start, QUERY_ROWS, get(t), [
        set(this.rows, i32.min(i32.constant(QUERY_ROWS), i32.subtract(get(t), get(this.start)))),
        set(this.keys, i32.add(i32.add(i32.subtract(get(s), get(t)), get(this.start)), get(this.rows))),
        ...body,
      ]),
    ];
  }

  /** Address of the tile's first row of an array of queries. */
  tileOf(base: Local): Code {
    return i32.add(get(base), i32.multiply(get(this.start), get(this.queryRow)));
  }

  /** `target[rows, keys] = x · panelsᵀ` for the tile's rows of `x`. */
  dots(x: Local, panels: Code, target: Code): Code {
    const width = tileWidth(this.#frame.shape.tileColumns, false);
    return callProduct(this.#frame, false, {
      ...this.#rowsOfQueries(x, false),
      b: panels, bPanel: this.#keyPanel(), bDepth: i32.constant(width * 4),
      c: target, cRow: get(this.#at.scoreRow),
      m: get(this.rows), n: get(this.keys), k: get(this.#at.d), accumulate: i32.constant(0), scratch: get(this.#at.scratch),
    });
  }

  softmax(): Code {
    const { s, t, scale } = this.#at;
    const visible = i32.add(i32.add(i32.subtract(get(s), get(t)), get(this.start)), i32.constant(1));
    return this.#frame.call(
      "maskedSoftmax", this.at("scoresAt"), get(this.#at.scoreRow), get(this.rows), get(this.keys), visible,
      this.at("biasAt"), get(scale), this.at("factorsAt"),
    );
  }

  cotangent(): Code {
    return this.#frame.call(
      "softmaxCotangent", this.at("scoresAt"), this.at("pulledAt"), get(this.#at.scoreRow), get(this.rows), get(this.keys),
      get(this.#at.scale), this.at("factorsAt"),
    );
  }

  /** The tile's rows of `out` = weights · values, packed by `packColumns` from `source`. */
  mix(weights: Code, source: Local, panels: Code, out: Local): Code {
    return this.#either((narrow) => {
      const rows = tileRows(narrow);
      const width = tileWidth(this.#frame.shape.tileColumns, narrow);
      const { scoreRow, d, scratch } = this.#at;
      return {
        a: weights, aPanel: i32.multiply(get(scoreRow), i32.constant(rows)), aRow: get(scoreRow), aDepth: i32.constant(4),
        b: narrow ? get(source) : panels, bPanel: this.#valuePanel(), bDepth: narrow ? get(this.keyRow) : i32.constant(width * 4),
        c: this.tileOf(out), cRow: get(this.queryRow),
        m: get(this.rows), n: get(d), k: get(this.keys), accumulate: i32.constant(0), scratch: get(scratch),
      };
    });
  }

  /** `out[keys] += weightsᵀ · x` over the tile's rows of `x`. */
  spread(weights: Code, x: Local, out: Local): Code {
    return this.#either((narrow) => {
      const { scoreRow, d, scratch } = this.#at;
      return {
        a: weights, aPanel: i32.constant(tileRows(narrow) * 4), aRow: i32.constant(4), aDepth: get(scoreRow),
        b: this.tileOf(x), bPanel: i32.constant(tileWidth(this.#frame.shape.tileColumns, narrow) * 4), bDepth: get(this.queryRow),
        c: get(out), cRow: get(this.keyRow),
        m: get(this.keys), n: get(d), k: get(this.rows), accumulate: i32.constant(1), scratch: get(scratch),
      };
    });
  }

  #either(args: (narrow: boolean) => ProductArgs): Code {
    const call = (narrow: boolean): Code => callProduct(this.#frame, narrow, args(narrow));
    return ifElse(get(this.#at.narrow), [call(true)], [call(false)]);
  }

  #rowsOfQueries(x: Local, narrow: boolean): Pick<ProductArgs, "a" | "aPanel" | "aRow" | "aDepth"> {
    const aPanel = i32.multiply(get(this.queryRow), i32.constant(tileRows(narrow)));
    return { a: this.tileOf(x), aPanel, aRow: get(this.queryRow), aDepth: i32.constant(4) };
  }

  /** Bytes of a panel of `packRows`: the depth rounded up to 4. */
  #keyPanel(): Code {
    const width = tileWidth(this.#frame.shape.tileColumns, false);
    const depth = i32.and(i32.add(get(this.#at.d), i32.constant(3)), i32.constant(-4));
    return i32.multiply(depth, i32.constant(width * 4));
  }

  /** Bytes of a panel of `packColumns`. */
  #valuePanel(): Code {
    return i32.multiply(get(this.#at.s), i32.constant(tileWidth(this.#frame.shape.tileColumns, false) * 4));
  }

  #eachPanel(columns: Code, body: (panel: Local) => Code): Code[] {
    const width = tileWidth(this.#frame.shape.tileColumns, false);
    const panel = this.#frame.local("i32");
    const count = i32.divide(i32.add(columns, i32.constant(width - 1)), i32.constant(width));
    return [set(panel, i32.constant(0)), countWhile(panel, 1, count, [body(panel)])];
  }
}

/** `base + (batch · positions · rowBytes) + head · d` floats, into the local itself. */
function moveTo(base: Local, batch: Local, positions: Local, row: Local, head: Local, d: Local): Code {
  const start = i32.multiply(i32.multiply(get(batch), get(positions)), get(row));
  return increase(base, i32.add(start, i32.shiftLeft(i32.multiply(get(head), get(d)), i32.constant(2))));
}

/**
 * Causal attention of one query head of one sequence; all elements must be finite.
 *
 *     pack the head's keys and values
 *     for each tile of query rows: scores = q · kᵀ; weights = softmax; y = weights · v, divided by their sums
 */
export const attentionHeads = kernel(
  "attentionHeads",
  { q: "in", k: "in", v: "in", y: "out", ...SIZES },
  (frame, at) => {
    const head = new Head(frame, at);
    const [own, shared, batch] = frame.locals("i32", 3);
    const heads = i32.multiply(get(at.g), get(at.m));
    return [
      ...head.strides(),
      set(batch, i32.divide(get(at.unit), heads)),
      set(own, i32.remainder(get(at.unit), heads)),
      set(shared, i32.divide(get(own), get(at.m))),
      moveTo(at.q, batch, at.t, head.queryRow, own, at.d),
      moveTo(at.y, batch, at.t, head.queryRow, own, at.d),
      moveTo(at.k, batch, at.s, head.keyRow, shared, at.d),
      moveTo(at.v, batch, at.s, head.keyRow, shared, at.d),
      increase(at.mask, i32.multiply(get(batch), i32.shiftLeft(get(at.s), i32.constant(2)))),
      frame.call("maskBias", get(at.mask), head.at("biasAt"), get(at.s)),
      ...head.packRows(at.k, head.at("keysAt")),
      ...head.packColumns(at.v, head.at("valuesAt")),
      ...head.eachTile([
        head.dots(at.q, head.at("keysAt"), head.at("scoresAt")),
        head.softmax(),
        head.mix(head.at("scoresAt"), at.v, head.at("valuesAt"), at.y),
        ...scaleRows(frame, head.tileOf(at.y), get(head.queryRow), get(head.rows), get(at.d), head.at("factorsAt")),
      ]),
    ];
  },
);

/**
 * The cotangents of attention for one key head of one sequence and the query heads that share it; all elements
 * must be finite.
 *
 *     dk, dv = 0; pack the head's keys twice and its values
 *     for each query head, for each tile of its rows:
 *       weights = softmax(q · kᵀ); pulled = dy · vᵀ
 *       pulled = scale · weights · (pulled - Σ weights · pulled)
 *       dv += weightsᵀ · dy; dk += pulledᵀ · q; dq = pulled · k
 */
export const attentionHeadCotangents = kernel(
  "attentionHeadCotangents",
  { q: "in", k: "in", v: "in", dy: "in", dq: "out", dk: "out", dv: "out", keysAgainAt: "i32", ...SIZES },
  (frame, at) => {
    const head = new Head(frame, at);
    const [own, shared, batch, member, step] = frame.locals("i32", 5);
    const keysAgain = i32.add(get(at.scratch), get(at.keysAgainAt));
    const queries = [at.q, at.dy, at.dq];
    const zeroRows = (base: Local): Code[] => {
      const [row, position, end, address] = frame.locals("i32", 4);
      return [
        set(end, i32.shiftLeft(get(at.d), i32.constant(2))),
        set(address, get(base)),
        set(row, i32.constant(0)),
        countWhile(row, 1, get(at.s), [
          set(position, i32.constant(0)),
          ...eachFloats(frame, position, end, { reads: {}, writes: [get(address)], body: () => ({ values: [v128.zero()] }) }),
          increase(address, get(head.keyRow)),
        ]),
      ];
    };
    return [
      ...head.strides(),
      set(batch, i32.divide(get(at.unit), get(at.g))),
      set(shared, i32.remainder(get(at.unit), get(at.g))),
      set(own, i32.multiply(get(shared), get(at.m))),
      ...queries.map((array) => moveTo(array, batch, at.t, head.queryRow, own, at.d)),
      ...[at.k, at.v, at.dk, at.dv].map((array) => moveTo(array, batch, at.s, head.keyRow, shared, at.d)),
      increase(at.mask, i32.multiply(get(batch), i32.shiftLeft(get(at.s), i32.constant(2)))),
      frame.call("maskBias", get(at.mask), head.at("biasAt"), get(at.s)),
      ...head.packRows(at.k, head.at("keysAt")),
      ...head.packRows(at.v, head.at("valuesAt")),
      ...head.packColumns(at.k, keysAgain),
      ...zeroRows(at.dk),
      ...zeroRows(at.dv),
      set(step, i32.shiftLeft(get(at.d), i32.constant(2))),
      countWhile(member, 1, get(at.m), [
        ...head.eachTile([
          head.dots(at.q, head.at("keysAt"), head.at("scoresAt")),
          head.softmax(),
          head.dots(at.dy, head.at("valuesAt"), head.at("pulledAt")),
          head.cotangent(),
          head.spread(head.at("scoresAt"), at.dy, at.dv),
          head.spread(head.at("pulledAt"), at.q, at.dk),
          head.mix(head.at("pulledAt"), at.k, keysAgain, at.dq),
        ]),
        ...queries.map((array) => increase(array, get(step))),
      ]),
    ];
  },
);
