import { gemm } from "../cpu/gemm.ts";
import type { AttentionSizes } from "./attention-reference.ts";

/** Query rows whose scores are held at a time. */
export const BLOCK = 64;

/** Arrays that every step of attention reads; the mask holds 0 or 1. */
export interface Scored {
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
  readonly mask: ArrayLike<number>;
}

/** A block of query rows of one head. */
export interface Tile {
  readonly batch: number;
  readonly keyHead: number;
  readonly head: number;
  readonly start: number;
  readonly rows: number;
  /** Keys that the last of the rows sees. */
  readonly keys: number;
  /** First and last tile of its key head. */
  readonly first: boolean;
  readonly last: boolean;
}

/**
 * How many rows a tile may have. A tile multiplies weights of 0 with elements that some of its rows do not
 * see; only finite ones allow that, so that others get tiles of one row.
 */
export const blockFor = (...shared: readonly Float32Array[]): number => (shared.every(allFinite) ? BLOCK : 1);

/** The tiles of all heads, those of one key head after another. */
export function* tiles({ b, t, c, g, m }: AttentionSizes, block: number): Generator<Tile> {
  for (let group = 0; group < b * g; group++) {
    for (let member = 0; member < m; member++) {
      for (let start = 0; start < t; start += block) {
        const rows = Math.min(block, t - start);
        const place = {
          batch: Math.floor(group / g),
          keyHead: group % g,
          head: (group % g) * m + member,
          start,
          rows,
        };
        yield {
          ...place,
          keys: c + start + rows,
          first: member + start === 0,
          last: member === m - 1 && start + rows === t,
        };
      }
    }
  }
}

/** Scores of a tile after another, from keys and queries copied head by head. */
export class Scores {
  readonly sizes: AttentionSizes;
  readonly queries: Float32Array;
  readonly keys: Float32Array;
  readonly #values: Float32Array;
  readonly #inputs: Scored;
  readonly #scale: number;

  constructor(inputs: Scored, sizes: AttentionSizes, scale: number) {
    const { t, c, d } = sizes;
    this.sizes = sizes;
    this.#inputs = inputs;
    this.#scale = scale;
    this.queries = new Float32Array(BLOCK * d);
    this.keys = new Float32Array((c + t) * d);
    this.#values = new Float32Array(BLOCK * (c + t));
  }

  /** `scale · q kᵀ` [rows, keys] of a tile; the queries stay in `queries`, scaled. */
  of(tile: Tile): Float32Array {
    const { d } = this.sizes;
    const { q, k } = this.#inputs;
    if (tile.first) this.copyOpen(k, this.keys, tile);
    copyQueries(q, this.queries, tile, this.sizes, this.#scale);
    const values = this.#values.subarray(0, tile.rows * tile.keys);
    gemm(
      "NT",
      tile.rows,
      tile.keys,
      d,
      this.queries.subarray(0, tile.rows * d),
      this.keys.subarray(0, tile.keys * d),
      values,
    );
    return values;
  }

  /** Copy the rows of a tile's key head out of `x` [b, s, g, d], with zeros for masked ones. */
  copyOpen(x: Float32Array, to: Float32Array, { batch, keyHead }: Tile): void {
    const { t, c, g, d } = this.sizes;
    const { mask } = this.#inputs;
    for (let j = 0; j < c + t; j++) {
      const row = batch * (c + t) + j;
      if (mask[row] === 0) to.fill(0, j * d, (j + 1) * d);
      else for (let e = 0; e < d; e++) to[j * d + e] = x[(row * g + keyHead) * d + e];
    }
  }

  /** The inverse of `copyOpen`. */
  storeOpen(own: Float32Array, x: Float32Array, { batch, keyHead }: Tile): void {
    const { t, c, g, d } = this.sizes;
    const { mask } = this.#inputs;
    for (let j = 0; j < c + t; j++) {
      const row = batch * (c + t) + j;
      if (mask[row] === 0) continue;
      for (let e = 0; e < d; e++) x[(row * g + keyHead) * d + e] = own[j * d + e];
    }
  }

  /** How many keys lie at or before row `r` of a tile. */
  visible(tile: Tile, r: number): number {
    return this.sizes.c + tile.start + r + 1;
  }
}

/** Copy the rows of a tile, times a factor, out of `x` [b, t, g·m, d]. */
export function copyQueries(
  x: Float32Array,
  to: Float32Array,
  { batch, head, start, rows }: Tile,
  { t, g, m, d }: AttentionSizes,
  factor: number,
): void {
  for (let r = 0; r < rows; r++) {
    const at = ((batch * t + start + r) * g * m + head) * d;
    for (let e = 0; e < d; e++) to[r * d + e] = x[at + e] * factor;
  }
}

/** The inverse of `copyQueries`. */
export function storeQueries(
  from: Float32Array,
  to: Float32Array,
  { batch, head, start, rows }: Tile,
  { t, g, m, d }: AttentionSizes,
  factor: number,
): void {
  for (let r = 0; r < rows; r++) {
    const at = ((batch * t + start + r) * g * m + head) * d;
    for (let e = 0; e < d; e++) to[at + e] = from[r * d + e] * factor;
  }
}

function allFinite(x: Float32Array): boolean {
  let zero = 0;
  for (let i = 0; i < x.length; i++) zero += x[i] * 0;
  return zero === 0;
}
