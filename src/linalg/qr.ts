import { dot, type Matrix, rowsOf, zeros } from "./matrix.ts";

/** A = Q·R for A [m, n], p = min(m, n). */
export interface Qr {
  /** [p, n]: rows of falling length. Triangular but for the order of its columns, which is that of A. */
  readonly r: Matrix;
  /** The first `count` ≤ m columns of the square Q, as rows: [count, m]. Those beyond p complete an orthonormal basis. */
  readonly columnsOfQ: (count: number) => Matrix;
}

/**
 * Householder's QR factorisation, the longest remaining column first (Golub & Van Loan, Matrix Computations, 5.4.2).
 *
 * @param columns the columns of A as rows: [n, m]
 */
export function qr(columns: Matrix): Qr {
  const { rows: n, columns: m } = columns;
  const p = Math.min(m, n);
  const remaining = rowsOf({ ...columns, data: columns.data.slice() });
  const order = Array.from({ length: n }, (_, j) => j);
  const squares = Float64Array.from(remaining, (column) => dot(column, column));
  const reflectors: Reflector[] = [];
  const r = zeros(p, n);
  for (let k = 0; k < p; k++) {
    const longest = indexOfMax(squares, k);
    for (const list of [remaining, order, squares]) swap<unknown>(list, k, longest);
    const reflector = reflectorOf(remaining[k], k);
    reflectors.push(reflector);
    r.data[k * n + order[k]] = reflector.image;
    for (let j = k + 1; j < n; j++) {
      squares[j] = reflect(remaining[j], reflector);
      r.data[k * n + order[j]] = remaining[j][k];
    }
  }
  return { r, columnsOfQ: (count) => imagesOfAxes(reflectors, count, m) };
}

/** The map x ↦ x − 2·v·(v·x)/(v·v), where v is zero before `start`. */
interface Reflector {
  readonly v: Float64Array;
  readonly start: number;
  /** 2/(v·v); 0 for a column that is zero already. */
  readonly factor: number;
  /** What the column's first element becomes; the others become 0. */
  readonly image: number;
}

/** Takes over the column. */
function reflectorOf(column: Float64Array, start: number): Reflector {
  const square = dot(column, column, start);
  if (square === 0) return { v: column, start, factor: 0, image: 0 };
  const image = column[start] > 0 ? -Math.sqrt(square) : Math.sqrt(square);
  const factor = 1 / (square - column[start] * image);
  column[start] -= image;
  return { v: column, start, factor, image };
}

/** Reflects x in place; returns the sum of its squares behind `start`. */
function reflect(x: Float64Array, { v, start, factor }: Reflector): number {
  const step = factor * dot(v, x, start);
  x[start] -= step * v[start];
  let squares = 0;
  for (let i = start + 1; i < x.length; i++) {
    const value = x[i] - step * v[i];
    x[i] = value;
    squares += value * value;
  }
  return squares;
}

/** The columns of Q: what the reflectors, the last one first, make of the first `count` axes. */
function imagesOfAxes(reflectors: readonly Reflector[], count: number, m: number): Matrix {
  const result = zeros(count, m);
  for (const [c, row] of rowsOf(result).entries()) {
    row[c] = 1;
    // The reflectors behind c leave this axis as it is.
    for (let k = Math.min(c, reflectors.length - 1); k >= 0; k--) reflect(row, reflectors[k]);
  }
  return result;
}

function indexOfMax(values: Float64Array, from: number): number {
  let best = from;
  for (let i = from + 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

function swap<T>(list: { [index: number]: T }, i: number, j: number): void {
  [list[i], list[j]] = [list[j], list[i]];
}
