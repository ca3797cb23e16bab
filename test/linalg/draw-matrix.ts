import fc from "fast-check";
import { expect } from "vitest";
import { type Matrix, product, productOfRows, rowsOf, transposed, zeros } from "../../src/linalg/matrix.ts";
import type { Svd } from "../../src/linalg/svd.ts";

/** A matrix of rows of numbers. */
export const matrix = (values: readonly (readonly number[])[]): Matrix => ({
  rows: values.length, columns: values[0].length, data: Float64Array.from(values.flat()),
});

/** The matrix of `element(row, column)`. */
export const matrixOf = (rows: number, columns: number, element: (i: number, j: number) => number): Matrix => ({
  rows, columns, data: Float64Array.from({ length: rows * columns }, (_, k) => element(Math.floor(k / columns), k % columns)),
});

/** Matrices of this shape, of numbers in ±2. */
export function drawnOfShape(rows: number, columns: number): fc.Arbitrary<Matrix> {
  const value = fc.integer({ min: -2000, max: 2000 }).map((thousandths) => thousandths / 1000);
  return fc
    .array(value, { minLength: rows * columns, maxLength: rows * columns })
    .map((data) => ({ rows, columns, data: Float64Array.from(data) }));
}

const size = fc.integer({ min: 1, max: 9 });

/** Matrices of any shape and rank, with repeated rows and rows of zeros, from 10⁻¹⁵⁰ to 10¹⁵⁰ in size. */
export const drawnMatrix: fc.Arbitrary<Matrix> = fc
  .tuple(size, size)
  .chain(([m, n]) =>
    fc.tuple(
      drawnOfShape(m, n),
      fc.array(fc.integer({ min: -1, max: m - 1 }), { minLength: m, maxLength: m }),
      fc.constantFrom(false, true),
      fc.constantFrom(1, 1, 1, 0, 1e-150, 1e150),
    ),
  )
  .map(([a, copied, deficient, scale]) => {
    const result = zeros(a.rows, a.columns);
    const rows = rowsOf(a);
    for (const [i, row] of rowsOf(result).entries()) {
      const from = deficient ? copied[i] : i;
      if (from >= 0) row.set(rows[from].map((value) => value * scale));
    }
    return result;
  });

/** Factors up[m, r] and down[r, n], r also above m and n, with terms that differ in size between the two. */
export const drawnFactors: fc.Arbitrary<{ readonly up: Matrix; readonly down: Matrix }> = fc
  .tuple(size, size, size)
  .chain(([m, n, r]) =>
    fc.tuple(
      drawnOfShape(m, r),
      drawnOfShape(r, n),
      fc.array(fc.constantFrom(1, 1, 0, 1e-30, 1e30), { minLength: r, maxLength: r }),
    ),
  )
  .map(([up, down, scales]) => ({
    up: { ...up, data: up.data.map((value, k) => value * scales[k % up.columns]) },
    down: { ...down, data: down.data.map((value, k) => value / (scales[Math.floor(k / down.columns)] || 1)) },
  }));

/** The largest number, without its sign. */
export const largest = ({ data }: Matrix): number => data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** The largest difference of two matrices of the same shape. */
export function distance(x: Matrix, y: Matrix): number {
  expect([x.rows, x.columns]).toEqual([y.rows, y.columns]);
  return largest({ ...x, data: x.data.map((value, k) => value - y.data[k]) });
}

/** Σ s·u·vᵀ */
export function reassembled({ left, values, right }: Svd): Matrix {
  const scaled = rowsOf(right).map((row, i) => row.map((value) => value * values[i]));
  return product(transposed(left), { ...right, data: Float64Array.from(scaled.flatMap((row) => [...row])) });
}

/** The rows have length 1 and stand at right angles. */
export function expectOrthonormal(rows: Matrix): void {
  expect(distance(productOfRows(rows, rows), matrixOf(rows.rows, rows.rows, (i, j) => (i === j ? 1 : 0)))).toBeLessThan(1e-12);
}

/** Orthonormal vectors, and values that fall and are not negative. */
export function expectSvd({ left, values, right }: Svd): void {
  expectOrthonormal(left);
  expectOrthonormal(right);
  expect([left.rows, right.rows]).toEqual([values.length, values.length]);
  expect([...values]).toEqual([...values].sort((x, y) => y - x));
  expect(values.every((value) => value >= 0)).toBe(true);
}
