import { type Code, type Frame, get, type Local, set } from "./assembler.ts";
import { f32, f32x4, i32, v128 } from "./instructions.ts";
import { kernel } from "./kernel.ts";
import { eachFloats, type FloatLoop, LaneSum } from "./vectors.ts";

/** Most floats of a piece: what one unit works on. */
export const PIECE = 16_384;
/** Words of a table's row: the addresses of p, g, m, v and the result, and how many floats. */
export const ROW_WORDS = 6;

/** One AdamW table row's arrays. */
const COLUMNS = { p: 0, g: 1, m: 2, v: 3, out: 4 } as const;

/** A loop over the floats of the table's row `unit`. */
function eachOfPiece<const R extends keyof typeof COLUMNS>(
  frame: Frame,
  at: { readonly table: Local; readonly unit: Local },
  { reads, writes = [], body }: {
    readonly reads: readonly R[];
    readonly writes?: readonly (keyof typeof COLUMNS)[];
    readonly body: FloatLoop<R>["body"];
  },
): Code[] {
  const [row, position, end] = frame.locals("i32", 3);
  const base = (column: keyof typeof COLUMNS): Code => i32.load(get(row), COLUMNS[column] * 4);
  return [
    set(row, i32.add(get(at.table), i32.multiply(get(at.unit), i32.constant(ROW_WORDS * 4)))),
    set(end, i32.shiftLeft(i32.load(get(row), (ROW_WORDS - 1) * 4), i32.constant(2))),
    ...eachFloats(frame, position, end, {
      reads: Object.fromEntries(reads.map((column) => [column, base(column)])) as Record<R, Code>,
      writes: writes.map(base),
      body,
    }),
  ];
}

/**
 * One AdamW step for pieces of many parameters at once; m and v are updated in place.
 *
 *     for each pair of vectors: m, v; result = keep · p - step · m / (√v / root + eps)
 */
export const adamwPieces = kernel(
  "adamwPieces",
  { table: "in", beta1: "f32", rest1: "f32", beta2: "f32", rest2: "f32", keep: "f32", step: "f32", root: "f32", eps: "f32" },
  (frame, at) => {
    const names = ["beta1", "rest1", "beta2", "rest2", "keep", "step", "root", "eps"] as const;
    const splats = frame.locals("v128", names.length);
    const [beta1, rest1, beta2, rest2, keep, step, root, eps] = splats.map(get);
    const [first, second] = frame.locals("v128", 2);
    return [
      ...splats.map((splat, i) => set(splat, f32x4.splat(get(at[names[i]])))),
      ...eachOfPiece(frame, at, {
        reads: ["p", "g", "m", "v"],
        writes: ["m", "v", "out"],
        body: ({ p, g, m, v }) => ({
          run: [
            set(first, f32x4.add(f32x4.multiply(beta1, m), f32x4.multiply(rest1, g))),
            set(second, f32x4.add(f32x4.multiply(beta2, v), f32x4.multiply(rest2, f32x4.multiply(g, g)))),
          ],
          values: [
            get(first),
            get(second),
            f32x4.subtract(
              f32x4.multiply(keep, p),
              f32x4.divide(f32x4.multiply(step, get(first)), f32x4.add(f32x4.divide(f32x4.squareRoot(get(second)), root), eps)),
            ),
          ],
        }),
      }),
    ];
  },
);

/** The sum of squares of column g of each piece. */
export const squareSumPieces = kernel("squareSumPieces", { table: "in", sums: "out" }, (frame, at) => {
  const sum = new LaneSum(frame);
  const total = frame.local("f32");
  return [
    ...eachOfPiece(frame, at, { reads: ["g"], body: ({ g }, turn) => ({ run: [sum.addProduct(turn, g, g)] }) }),
    ...sum.into(total),
    f32.store(i32.add(get(at.sums), i32.shiftLeft(get(at.unit), i32.constant(2))), 0, get(total)),
  ];
});

/** `out = factor · g` for each piece. */
export const scalePieces = kernel("scalePieces", { table: "in", factor: "f32" }, (frame, at) => {
  const factor = frame.local("v128");
  return [
    set(factor, f32x4.splat(get(at.factor))),
    ...eachOfPiece(frame, at, {
      reads: ["g"],
      writes: ["out"],
      body: ({ g }) => ({ values: [f32x4.multiply(g, get(factor))] }),
    }),
  ];
});

/** The sum of `0 · x` over each unit of an array: 0 where all are finite, else NaN. */
export const zeroSums = kernel("zeroSums", { x: "in", sums: "out", count: "i32" }, (frame, at) => {
  const [position, end] = frame.locals("i32", 2);
  const sum = new LaneSum(frame);
  const total = frame.local("f32");
  return [
    set(position, i32.multiply(get(at.unit), i32.constant(PIECE * 4))),
    set(end, i32.min(i32.add(get(position), i32.constant(PIECE * 4)), i32.shiftLeft(get(at.count), i32.constant(2)))),
    ...eachFloats(frame, position, end, {
      reads: { x: get(at.x) },
      body: ({ x }, turn) => ({ run: [sum.addProduct(turn, x, v128.zero())] }),
    }),
    ...sum.into(total),
    f32.store(i32.add(get(at.sums), i32.shiftLeft(get(at.unit), i32.constant(2))), 0, get(total)),
  ];
});
