import { checkFinite, length, type Matrix, product, productOfRows, rowsOf, transposed, zeros } from "./matrix.ts";
import { qr } from "./qr.ts";
import { type Svd, svd } from "./svd.ts";

/**
 * The singular value decomposition of up[m, r] · down[r, n] with p = min(m, r, n) terms, without the m × n matrix: QR of
 * both factors, then the decomposition of the small matrix between them. Takes O((m + n)·r²).
 *
 * @throws RangeError when a number is not finite
 */
export function productSvd(up: Matrix, down: Matrix): Svd {
  for (const factor of [up, down]) checkFinite("productSvd", factor);
  const [columns, rows] = balanced(transposed(up), down);
  const of = qr(columns);
  const by = qr(rows);
  const { left, values, right } = svd(productOfRows(of.r, by.r));
  return {
    left: product(left, of.columnsOfQ(of.r.rows)),
    values,
    right: product(right, by.columnsOfQ(by.r.rows)),
  };
}

/** Both with row i of each at the same length: a scale that one has and the other undoes would cost precision. */
function balanced(x: Matrix, y: Matrix): [Matrix, Matrix] {
  const result = [zeros(x.rows, x.columns), zeros(y.rows, y.columns)] as const;
  const [xRows, yRows] = [rowsOf(x), rowsOf(y)];
  const [xOut, yOut] = [rowsOf(result[0]), rowsOf(result[1])];
  for (let i = 0; i < x.rows; i++) {
    const ratio = Math.sqrt(length(yRows[i]) / length(xRows[i]));
    // A term of which a side is zero is zero; 0/0 is not a number.
    if (!(ratio > 0 && ratio < Number.POSITIVE_INFINITY)) continue;
    for (let j = 0; j < x.columns; j++) xOut[i][j] = xRows[i][j] * ratio;
    for (let j = 0; j < y.columns; j++) yOut[i][j] = yRows[i][j] / ratio;
  }
  return [...result];
}
