import type { Gemm } from "./gemm-types.ts";

const TILE = 4;

/** A product's operands with element strides: `a(i, p) = a[i·aRow + p·aDepth]`, `b(p, j)` likewise. */
interface Strided {
  readonly n: number;
  readonly k: number;
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly out: Float32Array;
  readonly aRow: number;
  readonly aDepth: number;
  readonly bDepth: number;
  readonly bColumn: number;
  readonly accumulate: boolean;
}

/** The product in plain JavaScript, 4×4 outputs at a time, summed in f64: for tiny sizes, SIMD off. */
export const loopGemm: Gemm = (mode, m, n, k, a, b, out, accumulate, batch = 1) => {
  for (let i = 0; i < batch; i++) {
    const part = (x: Float32Array, size: number): Float32Array => (batch > 1 ? x.subarray(i * size, (i + 1) * size) : x);
    oneProduct(mode, m, n, k, part(a, m * k), part(b, k * n), part(out, m * n), accumulate);
  }
};

const oneProduct: Gemm = (mode, m, n, k, a, b, out, accumulate) => {
  const product: Strided = {
    n, k, a, b, out, accumulate,
    aRow: mode === "TN" ? 1 : k,
    aDepth: mode === "TN" ? m : 1,
    bDepth: mode === "NT" ? 1 : n,
    bColumn: mode === "NT" ? k : 1,
  };
  const tiledRows = m - (m % TILE);
  const tiledColumns = n - (n % TILE);
  for (let i = 0; i < tiledRows; i += TILE) {
    for (let j = 0; j < tiledColumns; j += TILE) tile(product, i, j);
    elements(product, i, i + TILE, tiledColumns, n);
  }
  elements(product, tiledRows, m, 0, n);
};

/** One element at a time: what the tiles leave over. */
function elements(product: Strided, top: number, bottom: number, left: number, right: number): void {
  const { n, k, a, b, out, aRow, aDepth, bDepth, bColumn, accumulate } = product;
  for (let i = top; i < bottom; i++) {
    for (let j = left; j < right; j++) {
      let sum = accumulate ? out[i * n + j] : 0;
      for (let p = 0; p < k; p++) sum += a[i * aRow + p * aDepth] * b[p * bDepth + j * bColumn];
      out[i * n + j] = sum;
    }
  }
}

/** Sixteen sums in local variables, so that each loaded value serves four products. */
function tile(product: Strided, i: number, j: number): void {
  const { n, k, a, b, out, aRow, aDepth, bDepth, bColumn, accumulate } = product;
  let s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
  let s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
  let fromA = i * aRow;
  let fromB = j * bColumn;
  for (let p = 0; p < k; p++) {
    const b0 = b[fromB];
    const b1 = b[fromB + bColumn];
    const b2 = b[fromB + 2 * bColumn];
    const b3 = b[fromB + 3 * bColumn];
    const a0 = a[fromA];
    s00 += a0 * b0;
    s01 += a0 * b1;
    s02 += a0 * b2;
    s03 += a0 * b3;
    const a1 = a[fromA + aRow];
    s10 += a1 * b0;
    s11 += a1 * b1;
    s12 += a1 * b2;
    s13 += a1 * b3;
    const a2 = a[fromA + 2 * aRow];
    s20 += a2 * b0;
    s21 += a2 * b1;
    s22 += a2 * b2;
    s23 += a2 * b3;
    const a3 = a[fromA + 3 * aRow];
    s30 += a3 * b0;
    s31 += a3 * b1;
    s32 += a3 * b2;
    s33 += a3 * b3;
    fromA += aDepth;
    fromB += bDepth;
  }
  const c = i * n + j;
  storeRow(out, c, accumulate, s00, s01, s02, s03);
  storeRow(out, c + n, accumulate, s10, s11, s12, s13);
  storeRow(out, c + 2 * n, accumulate, s20, s21, s22, s23);
  storeRow(out, c + 3 * n, accumulate, s30, s31, s32, s33);
}

function storeRow(
  out: Float32Array, at: number, accumulate: boolean, x0: number, x1: number, x2: number, x3: number,
): void {
  out[at] = accumulate ? out[at] + x0 : x0;
  out[at + 1] = accumulate ? out[at + 1] + x1 : x1;
  out[at + 2] = accumulate ? out[at + 2] + x2 : x2;
  out[at + 3] = accumulate ? out[at + 3] + x3 : x3;
}
