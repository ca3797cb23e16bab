import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { transposed } from "../../src/linalg/matrix.ts";
import { qr } from "../../src/linalg/qr.ts";
import { svd } from "../../src/linalg/svd.ts";
import {
  distance, drawnMatrix, expectOrthonormal, expectSvd, largest, matrix, matrixOf, reassembled,
} from "./draw-matrix.ts";

describe("properties", () => {
  it("has orthonormal vectors, falling values, and gives the matrix again", () => {
    fc.assert(
      fc.property(drawnMatrix, (a) => {
        const terms = svd(a);
        expect(terms.values).toHaveLength(Math.min(a.rows, a.columns));
        expectSvd(terms);
        expect(distance(reassembled(terms), a)).toBeLessThanOrEqual(1e-12 * largest(a));
      }),
      { numRuns: 300 },
    );
  });

  it("has the values of the transposed, the negative and the reordered matrix", () => {
    fc.assert(
      fc.property(drawnMatrix, (a) => {
        const { values } = svd(a);
        const negative = { ...a, data: a.data.map((value) => -value) };
        const reversed = { ...a, data: a.data.toReversed() };
        for (const other of [transposed(a), negative, reversed]) {
          const others = svd(other).values;
          for (const [i, value] of values.entries())
            expect(Math.abs(others[i] - value)).toBeLessThanOrEqual(1e-13 * values[0]);
        }
      }),
    );
  });

  it("has the sum of squares of the matrix", () => {
    fc.assert(
      fc.property(drawnMatrix, (a) => {
        const scale = largest(a) || 1;
        const squares = (data: Float64Array): number => data.reduce((sum, value) => sum + (value / scale) ** 2, 0);
        expect(squares(svd(a).values)).toBeCloseTo(squares(a.data), 10);
      }),
    );
  });

  it("QR gives the matrix again, and completes a basis", () => {
    fc.assert(
      fc.property(drawnMatrix, (a) => {
        const { r, columnsOfQ } = qr(transposed(a));
        const whole = columnsOfQ(a.rows);
        expectOrthonormal(whole);
        const used = columnsOfQ(r.rows);
        expect([...whole.data.subarray(0, used.data.length)]).toEqual([...used.data]);
        const values = new Float64Array(r.rows).fill(1);
        expect(distance(reassembled({ left: used, values, right: r }), a)).toBeLessThanOrEqual(1e-13 * largest(a));
      }),
    );
  });
});

// What numpy.linalg.svd gives.
const HILBERT = [
  1.6188998589243393, 0.24236087057520947, 0.016321521319875812, 0.0006157483541826451, 1.2570757122632469e-5,
  1.0827994844462713e-7,
];
const WIDE = [18.28603829176878, 14.078699035480048, 9.950957509045121, 4.288295898549652];

describe("agrees with NumPy", () => {
  it.each([
    ["Hilbert's matrix", matrixOf(6, 6, (i, j) => 1 / (i + j + 1)), HILBERT],
    ["a wide matrix", matrixOf(4, 7, (i, j) => ((3 * i + 5 * j * j + i * j) % 17) - 8), WIDE],
  ])("on %s", (_, a, expected) => {
    const { values } = svd(a);
    for (const [i, value] of expected.entries()) expect(Math.abs(values[i] - value)).toBeLessThan(1e-14 * expected[0]);
  });
});

describe("special matrices", () => {
  it("one number", () => {
    expect(svd(matrix([[-3]])).values).toEqual(Float64Array.of(3));
    expect(reassembled(svd(matrix([[-3]])))).toEqual(matrix([[-3]]));
  });

  it.each([[3, 3], [5, 2], [2, 5], [1, 4]])("zeros, %d × %d: any bases", (m, n) => {
    const terms = svd(matrixOf(m, n, () => 0));
    expect(terms.values.every((value) => value === 0)).toBe(true);
    expectSvd(terms);
  });

  it("equal values: a rotation times 7", () => {
    const [c, s] = [7 * Math.cos(1), 7 * Math.sin(1)];
    const terms = svd(matrix([[c, -s, 0], [s, c, 0], [0, 0, 7]]));
    expectSvd(terms);
    for (const value of terms.values) expect(value).toBeCloseTo(7, 13);
  });

  it("rank 1 of 40 × 30: the other values are rounding", () => {
    const terms = svd(matrixOf(40, 30, (i, j) => Math.sin(i + 1) * Math.cos(j)));
    expectSvd(terms);
    expect(terms.values[1]).toBeLessThan(1e-14 * terms.values[0]);
  });

  it("values from 1 to 10⁻¹²: each to its own precision", () => {
    const powers = [0, -3, -6, -9, -12];
    const { values } = svd(matrixOf(5, 5, (i, j) => (i <= j ? 10 ** powers[i] : 0)));
    // |determinant| = the product of the diagonal
    const exponents = values.reduce((sum, value) => sum + Math.log10(value), 0);
    expect(exponents).toBeCloseTo(-30, 12);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("refuses %d", (value) => {
    expect(() => svd(matrix([[1, value]]))).toThrow(RangeError);
  });
});
