import fc from "fast-check";
import { expect, it } from "vitest";
import { product } from "../../src/linalg/matrix.ts";
import { productSvd } from "../../src/linalg/product-svd.ts";
import { svd } from "../../src/linalg/svd.ts";
import { distance, drawnFactors, expectSvd, largest, matrix, matrixOf, reassembled } from "./draw-matrix.ts";

it("is the decomposition of the product, for every r", () => {
  fc.assert(
    fc.property(drawnFactors, ({ up, down }) => {
      const terms = productSvd(up, down);
      const dense = product(up, down);
      expect(terms.values).toHaveLength(Math.min(up.rows, up.columns, down.columns));
      expectSvd(terms);
      // Terms that cancel are measured against their own size.
      const size = up.columns * Math.max(largest(dense), 4);
      expect(distance(reassembled(terms), dense)).toBeLessThanOrEqual(1e-12 * size);
      const { values } = svd(dense);
      for (const [i, value] of terms.values.entries()) expect(Math.abs(value - values[i])).toBeLessThanOrEqual(1e-12 * size);
    }),
    { numRuns: 300 },
  );
});

it("forms no large matrix: 30,000 × 20,000 of rank 4 in a moment", () => {
  const up = matrixOf(30_000, 4, (i, j) => Math.sin(i * (j + 1)));
  const down = matrixOf(4, 20_000, (i, j) => Math.cos(i + j * (i + 2)));
  const started = performance.now();
  const { left, values, right } = productSvd(up, down);
  expect(performance.now() - started).toBeLessThan(5000);
  const squares = values.reduce((sum, value) => sum + value ** 2, 0);
  // ‖up·down‖² = Σ (upᵀ·up) ∘ (down·downᵀ)
  let expected = 0;
  for (let i = 0; i < 4; i++) {
    for (let j = 0; j < 4; j++) {
      let [g, h] = [0, 0];
      for (let k = 0; k < up.rows; k++) g += up.data[4 * k + i] * up.data[4 * k + j];
      for (let k = 0; k < down.columns; k++) h += down.data[i * down.columns + k] * down.data[j * down.columns + k];
      expected += g * h;
    }
  }
  expect(squares / expected).toBeCloseTo(1, 12);
  expectSvd({ left, values, right });
});

it.each([[Number.NaN, 1], [1, Number.POSITIVE_INFINITY], [Number.NEGATIVE_INFINITY, 0]])("refuses %d and %d", (x, y) => {
  expect(() => productSvd(matrix([[x]]), matrix([[y]]))).toThrow(RangeError);
});
