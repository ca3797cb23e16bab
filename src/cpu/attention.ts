import { giveArray, takeArray } from "../tensor/array-pool.ts";
import { currentKernels, launch } from "./launch.ts";
import { PIECE, zeroSums } from "./wasm/adamw-kernel.ts";
import { attentionHeadCotangents, attentionHeads, QUERY_ROWS } from "./wasm/attention-kernel.ts";
import { tileWidth } from "./wasm/product.ts";

/**
 * Sizes of causal grouped-query attention: `m` query heads share each of `g` key heads; the first query comes
 * after `c` keys. q is [b, t, g·m, d], k and v are [b, c+t, g, d], the mask [b, c+t].
 */
export interface AttentionShape {
  readonly b: number;
  readonly t: number;
  readonly c: number;
  readonly g: number;
  readonly m: number;
  readonly d: number;
}

/** What attention reads. */
export interface AttentionArrays {
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
  /** 1 where a key may be attended to. */
  readonly mask: Float32Array | Int32Array;
}

/** ns for a multiply-add, exponentials included. */
const MADD_COST = 0.06;
/** An unfinished tile of a product, at the start of the scratch memory. */
const TILE_BYTES = 512;

/**
 * Attention in f32. False: not computed; there are no kernels, or an element is not finite (a tile multiplies
 * weights of 0 with elements that some of its rows do not see).
 */
export function attentionHeadsF32(arrays: AttentionArrays, y: Float32Array, shape: AttentionShape, scale: number): boolean {
  const { q, k, v } = arrays;
  if (!allFinite(q, k, v)) return false;
  const { b, t, c, g, m, d } = shape;
  const { values, bytes } = scratchOf(shape, false);
  const { keysAgainAt: _, ...layout } = values;
  return launch(
    attentionHeads,
    { ...arrays, y, t, s: c + t, g, m, d, scale, ...layout },
    { units: b * g * m, cost: b * t * g * m * (c + t) * d * MADD_COST, scratch: bytes },
  );
}

/** The cotangents of attention, as `attentionHeadsF32`. */
export function attentionCotangentsF32(
  arrays: AttentionArrays & { readonly dy: Float32Array },
  out: { readonly dq: Float32Array; readonly dk: Float32Array; readonly dv: Float32Array },
  shape: AttentionShape,
  scale: number,
): boolean {
  const { q, k, v, dy } = arrays;
  if (!allFinite(q, k, v, dy)) return false;
  const { b, t, c, g, m, d } = shape;
  const { values, bytes } = scratchOf(shape, true);
  return launch(
    attentionHeadCotangents,
    { ...arrays, ...out, t, s: c + t, g, m, d, scale, ...values },
    { units: b * g, cost: b * t * g * m * (c + t) * d * MADD_COST * 2.5, scratch: bytes },
  );
}

/** Where things lie in a thread's scratch memory, in bytes. */
function scratchOf({ t, c, d }: AttentionShape, backward: boolean) {
  const tileColumns = currentKernels().engine?.shape.tileColumns ?? 8;
  const width = tileWidth(tileColumns, false);
  const s = c + t;
  const keyPanels = Math.ceil(s / width) * width * Math.ceil(d / 4) * 4;
  const valuePanels = Math.ceil(d / width) * width * s;
  const scoreRow = Math.ceil(s / 16) * 16;
  const scores = scoreRow * QUERY_ROWS;
  let end = TILE_BYTES;
  const place = (floats: number): number => {
    const start = end;
    end += Math.ceil(floats / 16) * 64;
    return start;
  };
  const values = {
    narrow: d <= tileWidth(tileColumns, true) ? 1 : 0,
    keysAt: place(keyPanels),
    valuesAt: place(backward ? keyPanels : valuePanels),
    keysAgainAt: place(backward ? valuePanels : 0),
    biasAt: place(s),
    factorsAt: place(QUERY_ROWS),
    scoresAt: place(scores),
    pulledAt: place(backward ? scores : 0),
    scoreRow: scoreRow * 4,
  };
  return { values, bytes: end };
}

function allFinite(...arrays: readonly Float32Array[]): boolean {
  return arrays.every((x) => {
    const units = Math.ceil(x.length / PIECE);
    const sums = takeArray("f32", units);
    try {
      const isDone = launch(zeroSums, { x, sums: sums.array, count: x.length }, { units, cost: x.length * 0.2 });
      return isDone && sums.array.every((sum: number) => sum === 0);
    } finally {
      giveArray("f32", sums);
    }
  });
}
