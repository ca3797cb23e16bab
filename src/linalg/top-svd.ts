import { philox } from "../tensor/generator.ts";
import { dot, firstRows, lastRows, length, type Matrix, product, productOfRows, rowsOf, stacked, transposed, zeros } from "./matrix.ts";
import { qr } from "./qr.ts";
import { type Svd, svd } from "./svd.ts";

/** Matrices with min(m, n) up to this are decomposed whole, and larger ones when more than this share is wanted. */
const SMALL = 200;
const MANY = 1 / 5;
/** Terms that are looked for first where only their share is known. */
const FIRST_GUESS = 16;
/** Directions kept beyond those wanted: the last ones converge by their distance to the first that is left out. */
const SPARE = 8;
/** ‖Aᵀu − s·v‖ ≤ this · s_0 for every term; an error of e there is one of about e² / s_0 in s. */
const TOLERANCE = 1e-10;
/** How much a filter may raise the first direction above the last: beyond 10⁸, rounding would lose the others. */
const FILTER_LOG = Math.log(1e8);
const MAX_DEGREE = 16;
/** What a filter keeps small ends at most here, as a share of the largest square that it raises. */
const HIGHEST_BOUND = 0.98;
/** Products with AᵀA after which the whole decomposition is the surer way. */
const MAX_PRODUCTS = 500;

/**
 * The `count` largest terms of the singular value decomposition of a dense matrix [m, n] (min(m, n) of them when there are
 * fewer): subspace iteration with Chebyshev polynomials of AᵀA (Zhou & Saad, A Chebyshev-Davidson Algorithm for Large
 * Symmetric Eigenproblems, SIAM J. Matrix Anal. Appl. 29(3), 2007), which finds values that occur several times too. Small
 * matrices are decomposed whole, and so are those that do not converge. The same matrix gives the same result.
 *
 * @throws RangeError when a number is not finite
 */
export function topSvd(a: Matrix, count: number): Svd {
  if (a.rows < a.columns) {
    const { left, values, right } = topSvd(transposed(a), count);
    return { left: right, values, right: left };
  }
  const isSmall = a.columns <= SMALL || count > a.columns * MANY;
  return firstTerms((isSmall ? null : iterate(a, count)) ?? svd(a), Math.min(count, a.columns));
}

/**
 * The fewest terms, at least one, whose squared values make up `share` of those of a dense matrix: the k of
 * Σ_{i<k} s_i² ≥ share·‖A‖².
 *
 * @param share from 0 to 1
 * @throws RangeError when a number is not finite
 */
export function topSvdOfShare(a: Matrix, share: number): Svd {
  const p = Math.min(a.rows, a.columns);
  const total = dot(a.data, a.data);
  for (let count = FIRST_GUESS; p > SMALL && count <= p * MANY; count *= 2) {
    const terms = topSvd(a, count);
    const enough = termsOfShare(terms.values, share, total);
    if (enough !== null) return firstTerms(terms, enough);
  }
  const terms = svd(a);
  return firstTerms(terms, termsOfShare(terms.values, share) ?? p);
}

/** The fewest values, at least one, whose squares make up `share` of the total, by default their own; null for none. */
export function termsOfShare(values: Float64Array, share: number, total = sumOfSquares(values)): number | null {
  let sum = 0;
  // In the order of the total, so that a share of 1 is reached.
  const last = values.findIndex((value) => {
    sum += value * value;
    return sum >= share * total;
  });
  return last < 0 ? null : last + 1;
}

const sumOfSquares = (values: Float64Array): number => values.reduce((sum, value) => sum + value * value, 0);

/** The first `count` terms. */
export const firstTerms = ({ left, values, right }: Svd, count: number): Svd => ({
  left: firstRows(left, count),
  values: values.slice(0, count),
  right: firstRows(right, count),
});

function iterate(a: Matrix, count: number): Svd | null {
  let directions = timesGram(randomRows(count + SPARE, a.columns), a);
  for (let products = 1; products < MAX_PRODUCTS; ) {
    const terms = bestTerms(directions, a);
    const known = convergedTerms(terms, a);
    if (known >= count) return terms;
    const [largest, last] = [terms.values[known], terms.values[terms.values.length - 1]];
    // Were all that are kept equal, nothing would be raised above those that are left out.
    const bound = Math.min(last ** 2, HIGHEST_BOUND * largest ** 2);
    const degree = filterDegree(largest, bound);
    directions = filtered(terms.right, a, { known, bound, degree });
    products += degree;
  }
  return null;
}

/** The rows times AᵀA. */
const timesGram = (rows: Matrix, a: Matrix): Matrix => product(productOfRows(rows, a), a);

/** The decomposition of A on the space that the rows span (Rayleigh & Ritz). */
function bestTerms(rows: Matrix, a: Matrix): Svd {
  const basis = qr(rows).columnsOfQ(rows.rows);
  const { left, values, right } = svd(productOfRows(basis, a));
  return { left: right, values, right: product(left, basis) };
}

/** How many terms from the first on satisfy A and Aᵀ. Av = s·u holds by construction. */
function convergedTerms({ left, values, right }: Svd, a: Matrix): number {
  const images = rowsOf(product(left, a));
  const isOpen = rowsOf(right).map((v, i) => {
    const residual = images[i].map((value, j) => value - values[i] * v[j]);
    return length(residual) > TOLERANCE * values[0];
  });
  return isOpen.includes(true) ? isOpen.indexOf(true) : isOpen.length;
}

/** The highest degree at which T(2·s_0²/bound − 1) stays below the limit. */
function filterDegree(largest: number, bound: number): number {
  const degree = Math.floor(FILTER_LOG / Math.acosh((2 * largest ** 2) / bound - 1));
  // Not a number: the values are zero.
  return Math.max(1, Math.min(MAX_DEGREE, degree || 1));
}

/**
 * The right vectors with a polynomial of AᵀA applied to all but the `known` first, apart from which they stay: for degree 1
 * AᵀA itself, else T(2·AᵀA/bound − 1), which keeps small what lies below the bound.
 */
function filtered(
  right: Matrix, a: Matrix, { known, bound, degree }: { known: number; bound: number; degree: number },
): Matrix {
  const fixed = firstRows(right, known);
  const apply = (rows: Matrix): Matrix => apartFrom(fixed, timesGram(rows, a));
  let before = lastRows(right, right.rows - known);
  let now = apply(before);
  if (degree > 1) now = combined(now, 2 / bound, before, -1);
  for (let k = 2; k <= degree; k++) {
    const shifted = combined(apply(now), 4 / bound, now, -2);
    [before, now] = [now, combined(shifted, 1, before, -1)];
  }
  return stacked(fixed, now);
}

/** The rows without their parts along the orthonormal rows of `fixed`. */
const apartFrom = (fixed: Matrix, rows: Matrix): Matrix =>
  combined(rows, 1, product(productOfRows(rows, fixed), fixed), -1);

/** α·x + β·y */
const combined = (x: Matrix, alpha: number, y: Matrix, beta: number): Matrix => ({
  ...x,
  data: x.data.map((value, i) => alpha * value + beta * y.data[i]),
});

/** Uniform in [-1, 1), always the same. */
function randomRows(rows: number, columns: number): Matrix {
  const result = zeros(rows, columns);
  const words = new Uint32Array(4);
  for (let i = 0; i < result.data.length; i++) {
    if (i % 4 === 0) philox([i / 4, 0, 0, 0], [rows, columns], words);
    result.data[i] = words[i % 4] / 2 ** 31 - 1;
  }
  return result;
}
