import { checkFinite, dot, length, type Matrix, product, rowsOf, transposed, zeros } from "./matrix.ts";
import { qr } from "./qr.ts";

/** A = Σ_i s_i · u_i · v_iᵀ for A [m, n]: p terms. */
export interface Svd {
  /** The u_i, orthonormal: [p, m] */
  readonly left: Matrix;
  /** The s_i, falling, none negative: [p] */
  readonly values: Float64Array;
  /** The v_i, orthonormal: [p, n] */
  readonly right: Matrix;
}

/**
 * The singular value decomposition with p = min(m, n) terms, of a matrix of any shape and rank: QR with column exchange,
 * then Jacobi's rotations of the rows of R (Drmač & Veselić, New Fast and Accurate Jacobi SVD Algorithm, SIAM J. Matrix
 * Anal. Appl. 29(4), 2008). Takes O(m·n·p) per sweep, of about 6 sweeps.
 *
 * @throws RangeError when a number is not finite
 */
export function svd(a: Matrix): Svd {
  if (a.rows < a.columns) {
    const { left, values, right } = svd(transposed(a));
    return { left: right, values, right: left };
  }
  checkFinite("svd", a);
  const scale = largest(a);
  const p = a.columns;
  const { r, columnsOfQ } = qr(transposed(times(a, scale > 0 ? 1 / scale : 1)));
  // r = rotationᵀ·diag(s)·v, where the rows of v are orthonormal.
  const rotation = identity(p);
  const [rows, turned] = orthogonalise(rowsOf(r), rowsOf(rotation));
  const values = Float64Array.from(rows, length);
  const right = orthonormal(rows, values, p);
  const left = product(stack(turned, p), columnsOfQ(p));
  return { left, values: values.map((value) => value * scale), right };
}

/** Sweeps after which Jacobi's method has always converged; it takes 3 to 12. */
const MAX_SWEEPS = 60;
/** Squares of lengths below this, of numbers up to 1, count as zero: their products would underflow. */
const TINY = 1e-200;

/**
 * Rotates pairs of rows until all are orthogonal, the longest first, and turns `partners` alike.
 * Returns both in their order; the arrays of numbers are changed.
 */
function orthogonalise(rows: Float64Array[], partners: Float64Array[]): [Float64Array[], Float64Array[]] {
  const tolerance = Number.EPSILON * Math.sqrt(Math.max(1, rows.length));
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    const unsorted = rows.map((row) => dot(row, row));
    const order = unsorted.map((_, i) => i).sort((i, j) => unsorted[j] - unsorted[i]);
    const squares = Float64Array.from(order, (i) => unsorted[i]);
    rows = order.map((i) => rows[i]);
    partners = order.map((i) => partners[i]);
    let rotations = 0;
    for (let i = 0; i < rows.length && squares[i] > TINY; i++) {
      for (let j = i + 1; j < rows.length; j++) {
        const si = squares[i];
        const sj = squares[j];
        if (sj <= TINY) continue;
        const cosine = dot(rows[i], rows[j]);
        if (Math.abs(cosine) <= tolerance * Math.sqrt(si * sj)) continue;
        const zeta = (sj - si) / (2 * cosine);
        const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        squares[i] = si - tangent * cosine;
        squares[j] = sj + tangent * cosine;
        rotate(rows[i], rows[j], tangent);
        rotate(partners[i], partners[j], tangent);
        rotations++;
      }
    }
    if (rotations === 0) {
      for (const [i, row] of rows.entries()) if (squares[i] <= TINY) row.fill(0);
      return [rows, partners];
    }
  }
  throw new RangeError(`svd: no convergence in ${MAX_SWEEPS} sweeps of a matrix with ${rows.length} columns`);
}

/** Rotates two rows in their plane by the angle with this tangent. */
function rotate(x: Float64Array, y: Float64Array, tangent: number): void {
  const c = 1 / Math.sqrt(1 + tangent * tangent);
  const s = c * tangent;
  for (let i = 0; i < x.length; i++) {
    const xi = x[i];
    const yi = y[i];
    x[i] = c * xi - s * yi;
    y[i] = s * xi + c * yi;
  }
}

/** The orthogonal rows at length 1; those of length 0, which are the last, replaced by what completes a basis. */
function orthonormal(rows: readonly Float64Array[], lengths: Float64Array, columns: number): Matrix {
  const rank = lengths.findLastIndex((value) => value > 0) + 1;
  const result = stack(rows, columns);
  const units = rowsOf(result);
  for (let i = 0; i < rank; i++) units[i].forEach((value, j) => { units[i][j] = value / lengths[i]; });
  if (rank < rows.length) {
    const known = { rows: rank, columns, data: result.data.subarray(0, rank * columns) };
    const basis = qr(known).columnsOfQ(rows.length).data;
    result.data.set(basis.subarray(rank * columns), rank * columns);
  }
  return result;
}

/** The largest number, without its sign. */
function largest({ data }: Matrix): number {
  let most = 0;
  for (const value of data) most = Math.max(most, Math.abs(value));
  return most;
}

const times = (a: Matrix, factor: number): Matrix => ({ ...a, data: a.data.map((value) => value * factor) });

function identity(size: number): Matrix {
  const result = zeros(size, size);
  for (let i = 0; i < size; i++) result.data[i * size + i] = 1;
  return result;
}

function stack(rows: readonly Float64Array[], columns: number): Matrix {
  const result = zeros(rows.length, columns);
  for (const [i, row] of rows.entries()) result.data.set(row, i * columns);
  return result;
}
