/** A matrix in f64, row-major. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  /** `rows · columns` numbers. */
  readonly data: Float64Array;
}

/** A matrix of zeros. */
export const zeros = (rows: number, columns: number): Matrix => ({
  rows, columns, data: new Float64Array(rows * columns),
});

/** Views of the rows: what is written to them is written to the matrix. */
export function rowsOf({ rows, columns, data }: Matrix): Float64Array[] {
  return Array.from({ length: rows }, (_, i) => data.subarray(i * columns, (i + 1) * columns));
}

/** A copy of the first `count` rows. */
export const firstRows = ({ columns, data }: Matrix, count: number): Matrix => ({
  rows: count, columns, data: data.slice(0, count * columns),
});

/** A copy of the last `count` rows. */
export const lastRows = ({ rows, columns, data }: Matrix, count: number): Matrix => ({
  rows: count, columns, data: data.slice((rows - count) * columns),
});

/** The rows of both. */
export function stacked(x: Matrix, y: Matrix): Matrix {
  const result = zeros(x.rows + y.rows, x.columns);
  result.data.set(x.data);
  result.data.set(y.data, x.data.length);
  return result;
}

/** @throws RangeError when a number is not finite */
export function checkFinite(what: string, { data }: Matrix): void {
  const wrong = data.find((value) => !Number.isFinite(value));
  if (wrong !== undefined) throw new RangeError(`${what}: the matrix holds ${wrong}`);
}

/** The transposed matrix, copied. */
export function transposed({ rows, columns, data }: Matrix): Matrix {
  const result = zeros(columns, rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) result.data[j * rows + i] = data[i * columns + j];
  }
  return result;
}

/** x[m, k] · y[k, n]: [m, n]. Four rows of y at a time pass by every row of x. */
export function product(x: Matrix, y: Matrix): Matrix {
  const { rows: m, columns: depth } = x;
  const n = y.columns;
  const result = zeros(m, n);
  const xRows = rowsOf(x);
  const outs = rowsOf(result);
  // Rows of zeros beyond the end of y.
  const none = new Float64Array(n);
  const yRows = [...rowsOf(y), none, none, none];
  for (let k = 0; k < depth; k += 4) {
    const [y0, y1, y2, y3] = yRows.slice(k, k + 4);
    for (let i = 0; i < m; i++) {
      const row = xRows[i];
      const out = outs[i];
      const x0 = row[k];
      const x1 = k + 1 < depth ? row[k + 1] : 0;
      const x2 = k + 2 < depth ? row[k + 2] : 0;
      const x3 = k + 3 < depth ? row[k + 3] : 0;
      for (let j = 0; j < n; j++) out[j] += x0 * y0[j] + x1 * y1[j] + x2 * y2[j] + x3 * y3[j];
    }
  }
  return result;
}

/** x[m, k] · y[n, k]ᵀ: [m, n]. Four rows of x at a time pass by every row of y. */
export function productOfRows(x: Matrix, y: Matrix): Matrix {
  const { rows: m, columns: depth } = x;
  const n = y.rows;
  const result = zeros(m, n);
  const xRows = rowsOf(x);
  const outs = rowsOf(result);
  const yRows = rowsOf(y);
  for (let i = 0; i < m; i += 4) {
    // The last rows again, where there are none left.
    const [i0, i1, i2, i3] = [i, Math.min(i + 1, m - 1), Math.min(i + 2, m - 1), Math.min(i + 3, m - 1)];
    const [x0, x1, x2, x3] = [xRows[i0], xRows[i1], xRows[i2], xRows[i3]];
    for (let j = 0; j < n; j++) {
      const row = yRows[j];
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      for (let k = 0; k < depth; k++) {
        const value = row[k];
        s0 += value * x0[k];
        s1 += value * x1[k];
        s2 += value * x2[k];
        s3 += value * x3[k];
      }
      outs[i0][j] = s0;
      outs[i1][j] = s1;
      outs[i2][j] = s2;
      outs[i3][j] = s3;
    }
  }
  return result;
}

/** Σ xᵢ·yᵢ from index `start`. */
export function dot(x: Float64Array, y: Float64Array, start = 0): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let i = start;
  // Four sums, so that no addition waits for the one before it.
  for (; i + 3 < x.length; i += 4) {
    s0 += x[i] * y[i];
    s1 += x[i + 1] * y[i + 1];
    s2 += x[i + 2] * y[i + 2];
    s3 += x[i + 3] * y[i + 3];
  }
  for (; i < x.length; i++) s0 += x[i] * y[i];
  return s0 + s1 + (s2 + s3);
}

/** √(Σ xᵢ²) */
export const length = (x: Float64Array): number => Math.sqrt(dot(x, x));
