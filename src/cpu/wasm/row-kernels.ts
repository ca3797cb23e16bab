import { type Code, countUp, countWhile, type Frame, get, increase, type Local, set } from "./assembler.ts";
import { f32, f32x4, f64, i32, v128 } from "./instructions.ts";
import { kernel } from "./kernel.ts";
import { eachFloats, LaneSum } from "./vectors.ts";

/** The rows of a unit, one after the other: `row` counts them, `rowsAUnit` a unit. */
export function eachRow(
  frame: Frame,
  at: { readonly unit: Local; readonly rows: Local; readonly rowsAUnit: Local },
  body: (row: Local) => readonly Code[],
): Code[] {
  const [row, last] = frame.locals("i32", 2);
  return [
    set(row, i32.multiply(get(at.unit), get(at.rowsAUnit))),
    set(last, i32.min(i32.add(get(row), get(at.rowsAUnit)), get(at.rows))),
    countWhile(row, 1, get(last), body(row)),
  ];
}

/** Address of a row: `base + row · length` floats. */
export const rowAt = (base: Local, row: Local, length: Local): Code =>
  i32.add(get(base), i32.shiftLeft(i32.multiply(get(row), get(length)), i32.constant(2)));

/** `1 / √(squares / d + eps)`, rounded once: all elements of a row depend on it. */
function inverseRoot(squares: Local, d: Local, eps: Local): Code {
  const mean = f64.divide(f64.fromF32(get(squares)), f64.fromI32(get(d)));
  const root = f64.squareRoot(f64.add(mean, f64.fromF32(get(eps))));
  return f64.toF32(f64.divide(f64.constant(1), root));
}

const NORM_ARGS = { rows: "i32", d: "i32", rowsAUnit: "i32", eps: "f32" } as const;
const fromStart = (position: Local): Code => set(position, i32.constant(0));

/**
 * `y = x · r · weight` with `r = 1 / √(mean(x²) + eps)`, row by row.
 *
 *     for each row: squares = Σ x²; r; for each pair of vectors: y = x · r · weight
 */
export const rmsNormRows = kernel("rmsNormRows", { x: "in", weight: "in", y: "out", ...NORM_ARGS }, (frame, at) => {
  const [position, end, x, y] = frame.locals("i32", 4);
  const squares = frame.local("f32");
  const r = frame.local("v128");
  const sum = new LaneSum(frame);
  return [
    set(end, i32.shiftLeft(get(at.d), i32.constant(2))),
    ...eachRow(frame, at, (row) => [
      set(x, rowAt(at.x, row, at.d)),
      set(y, rowAt(at.y, row, at.d)),
      ...sum.clear(),
      fromStart(position),
      ...eachFloats(frame, position, end, {
        reads: { own: get(x) },
        body: ({ own }, turn) => ({ run: [sum.addProduct(turn, own, own)] }),
      }),
      ...sum.into(squares),
      set(r, f32x4.splat(inverseRoot(squares, at.d, at.eps))),
      fromStart(position),
      ...eachFloats(frame, position, end, {
        reads: { own: get(x), weight: get(at.weight) },
        writes: [get(y)],
        body: ({ own, weight }) => ({ values: [f32x4.multiply(f32x4.multiply(own, get(r)), weight)] }),
      }),
    ]),
  ];
});

/**
 * `dx = r · (dy · weight - x · pull)` with `pull = r² · mean(dy · weight · x)`, row by row.
 *
 *     for each row: squares = Σ x², dot = Σ dy · weight · x; r, pull; for each pair of vectors: dx
 */
export const rmsNormDxRows = kernel(
  "rmsNormDxRows",
  { x: "in", weight: "in", dy: "in", dx: "out", ...NORM_ARGS },
  (frame, at) => {
    const [position, end, x, dy, dx] = frame.locals("i32", 5);
    const [squares, dot, inverse] = frame.locals("f32", 3);
    const [r, pull] = frame.locals("v128", 2);
    const [squareSum, dotSum] = [new LaneSum(frame), new LaneSum(frame)];
    const reads = { own: get(x), weight: get(at.weight), g: get(dy) };
    const mean = f32.divide(f32.multiply(f32.multiply(get(dot), get(inverse)), get(inverse)), f32.fromI32(get(at.d)));
    return [
      set(end, i32.shiftLeft(get(at.d), i32.constant(2))),
      ...eachRow(frame, at, (row) => [
        set(x, rowAt(at.x, row, at.d)),
        set(dy, rowAt(at.dy, row, at.d)),
        set(dx, rowAt(at.dx, row, at.d)),
        ...squareSum.clear(),
        ...dotSum.clear(),
        fromStart(position),
        ...eachFloats(frame, position, end, {
          reads,
          body: ({ own, weight, g }, turn) => ({
            run: [squareSum.addProduct(turn, own, own), dotSum.addProduct(turn, f32x4.multiply(g, weight), own)],
          }),
        }),
        ...squareSum.into(squares),
        ...dotSum.into(dot),
        set(inverse, inverseRoot(squares, at.d, at.eps)),
        set(r, f32x4.splat(get(inverse))),
        set(pull, f32x4.splat(mean)),
        fromStart(position),
        ...eachFloats(frame, position, end, {
          reads,
          writes: [get(dx)],
          body: ({ own, weight, g }) => ({
            values: [f32x4.multiply(get(r), f32x4.subtract(f32x4.multiply(g, weight), f32x4.multiply(own, get(pull))))],
          }),
        }),
      ]),
    ];
  },
);

/** `r` of each row of x, as `rmsNormRows` takes it. */
export const inverseRmsRows = kernel("inverseRmsRows", { x: "in", r: "out", ...NORM_ARGS }, (frame, at) => {
  const [position, end] = frame.locals("i32", 2);
  const squares = frame.local("f32");
  const sum = new LaneSum(frame);
  return [
    set(end, i32.shiftLeft(get(at.d), i32.constant(2))),
    ...eachRow(frame, at, (row) => [
      ...sum.clear(),
      fromStart(position),
      ...eachFloats(frame, position, end, {
        reads: { own: rowAt(at.x, row, at.d) },
        body: ({ own }, turn) => ({ run: [sum.addProduct(turn, own, own)] }),
      }),
      ...sum.into(squares),
      f32.store(i32.add(get(at.r), i32.shiftLeft(get(row), i32.constant(2))), 0, inverseRoot(squares, at.d, at.eps)),
    ]),
  ];
});

/** Columns of a unit of `weightedColumnSums`. */
export const COLUMNS_A_UNIT = 64;

/**
 * `sums[j] = Σ over rows of a[row, j] · b[row, j] · factor[row]`.
 *
 *     clear the unit's columns; for each row, for each pair of vectors of them: sums += a · b · factor
 */
export const weightedColumnSums = kernel(
  "weightedColumnSums",
  { a: "in", b: "in", factor: "in", sums: "out", rows: "i32", d: "i32" },
  (frame, at) => {
    const [start, position, end, row] = frame.locals("i32", 4);
    const scale = frame.local("v128");
    const stride = i32.shiftLeft(get(at.d), i32.constant(2));
    return [
      set(start, i32.multiply(get(at.unit), i32.constant(COLUMNS_A_UNIT * 4))),
      set(end, i32.min(i32.add(get(start), i32.constant(COLUMNS_A_UNIT * 4)), stride)),
      set(position, get(start)),
      ...eachFloats(frame, position, end, {
        reads: {},
        writes: [get(at.sums)],
        body: () => ({ values: [v128.zero()] }),
      }),
      countUp(row, 1, get(at.rows), [
        set(scale, v128.loadSplat(get(at.factor), 0)),
        set(position, get(start)),
        ...eachFloats(frame, position, end, {
          reads: { a: get(at.a), b: get(at.b), sum: get(at.sums) },
          writes: [get(at.sums)],
          body: ({ a, b, sum }) => ({ values: [frame.multiplyAdd(f32x4.multiply(a, b), get(scale), sum)] }),
        }),
        increase(at.a, stride),
        increase(at.b, stride),
        increase(at.factor, i32.constant(4)),
      ]),
    ];
  },
);
