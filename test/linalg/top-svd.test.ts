import { describe, expect, it } from "vitest";
import { length, type Matrix, product, productOfRows, rowsOf, transposed } from "../../src/linalg/matrix.ts";
import { qr } from "../../src/linalg/qr.ts";
import { svd } from "../../src/linalg/svd.ts";
import { firstTerms, topSvd, topSvdOfShare } from "../../src/linalg/top-svd.ts";
import { expectSvd, matrixOf, reassembled } from "./draw-matrix.ts";

/** Numbers in ±½ without a pattern. */
const noise = (m: number, n: number, seed: number): Matrix =>
  matrixOf(m, n, (i, j) => {
    const value = Math.sin(i * 12.9898 + j * 78.233 + seed) * 43758.5453;
    return value - Math.floor(value) - 0.5;
  });

/** An m × n matrix with these singular values, then zeros. */
function withValues(m: number, n: number, values: readonly number[]): Matrix {
  const basis = (size: number, seed: number): Matrix => qr(noise(values.length, size, seed)).columnsOfQ(values.length);
  return reassembled({ left: basis(m, 1), values: Float64Array.from(values), right: basis(n, 2) });
}

/** Term i satisfies A·v = s·u and Aᵀ·u = s·v. */
function expectTerms(a: Matrix, { left, values, right }: ReturnType<typeof svd>): void {
  expectSvd({ left, values, right });
  const images = rowsOf(productOfRows(right, a));
  const backwards = rowsOf(product(left, a));
  for (const [i, value] of values.entries()) {
    const [u, v] = [rowsOf(left)[i], rowsOf(right)[i]];
    expect(length(images[i].map((x, j) => x - value * u[j]))).toBeLessThan(1e-9 * values[0]);
    expect(length(backwards[i].map((x, j) => x - value * v[j]))).toBeLessThan(1e-9 * values[0]);
  }
}

const range = (count: number, value: (i: number) => number): number[] => Array.from({ length: count }, (_, i) => value(i));

/** What numpy.linalg.svd gives for the matrix of "agrees with NumPy". */
const TOP = [
  158.19487482268707, 151.84380239549057, 35.946174588703265, 35.67971562021975, 35.16645099010943, 35.06580185224246,
  34.81958823366559, 34.804451169934694, 34.647663996083544, 34.28348028210285, 33.88488149669331, 33.412699803716,
];

describe.each([
  ["falling values", range(210, (i) => 0.9 ** i)],
  ["values that lie close", range(210, (i) => 2 - i / 210)],
  ["values that occur thirty times each", range(210, (i) => 5 - Math.floor(i / 30) / 4)],
  ["a few large values above many small ones", range(210, (i) => (i < 5 ? 1000 - i : 1 - i / 1000))],
  ["values over twenty orders", range(210, (i) => 10 ** (-i / 13))],
  ["fewer values than wanted", [3, 2, 1]],
  ["one value alone", [4]],
])("%s", (_, values) => {
  it.each([[240, 210], [210, 240]])("%d × %d", (m, n) => {
    const a = withValues(m, n, values);
    const terms = topSvd(a, 12);
    expectTerms(a, terms);
    expect(terms.values).toHaveLength(12);
    for (const [i, value] of terms.values.entries())
      expect(Math.abs(value - (values[i] ?? 0))).toBeLessThan(1e-11 * values[0]);
  });
});

it("is the whole decomposition's first terms on noise", () => {
  const a = noise(230, 205, 3);
  const [some, all] = [topSvd(a, 20), svd(a)];
  expectTerms(a, some);
  for (const [i, value] of some.values.entries()) expect(Math.abs(value / all.values[i] - 1)).toBeLessThan(1e-12);
  expect(topSvd(a, 20)).toEqual(some);
});

describe("a share of the squares", () => {
  const fewest = (values: readonly number[], share: number): number => {
    const sums = values.map((_, k) => values.slice(0, k + 1).reduce((sum, value) => sum + value * value, 0));
    return sums.findIndex((sum) => sum >= share * sums[sums.length - 1]) + 1;
  };

  it.each([0.1, 0.6, 0.99])("%d of falling values, of few and of many terms", (share) => {
    for (const values of [range(210, (i) => 0.9 ** i), range(210, (i) => 0.98 ** i), [3, 2, 1]]) {
      const terms = topSvdOfShare(withValues(240, 210, values), share);
      expect(terms.values).toHaveLength(fewest(values, share));
      expectSvd(terms);
    }
  });

  it("all of it is every term; of zeros, one", () => {
    const a = noise(230, 210, 4);
    expect(topSvdOfShare(a, 1).values).toHaveLength(210);
    expect([...topSvdOfShare(matrixOf(230, 210, () => 0), 1).values]).toEqual([0]);
    expect(topSvdOfShare(noise(4, 6, 1), 1).values).toHaveLength(4);
  });
});

it("agrees with NumPy", () => {
  const a = matrixOf(320, 300, (i, j) => Math.sin(i * i + 3 * j) + Math.cos((i * j) % 101));
  const { values } = topSvd(a, 12);
  for (const [i, value] of TOP.entries()) expect(Math.abs(values[i] - value)).toBeLessThan(1e-12 * TOP[0]);
});

it("takes zeros, small matrices and more terms than there are", () => {
  const zero = topSvd(matrixOf(210, 230, () => 0), 5);
  expect([...zero.values]).toEqual([0, 0, 0, 0, 0]);
  expectSvd(zero);
  const small = noise(4, 6, 1);
  expect(topSvd(small, 2)).toEqual(firstTerms(svd(small), 2));
  expect(topSvd(small, 9)).toEqual(svd(small));
  expect(topSvd(transposed(small), 3).values).toEqual(topSvd(small, 3).values);
});

it("refuses what is not finite", () => {
  expect(() => topSvd(matrixOf(210, 210, (i, j) => (i === j ? Number.NaN : 1)), 3)).toThrow(RangeError);
});
