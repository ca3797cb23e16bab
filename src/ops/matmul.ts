import { gemm, type GemmMode } from "../cpu/gemm.ts";
import { gemmPlan } from "../gpu/gemm.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { sumTo } from "./sum.ts";

/** Sizes of a batch of `n` products y[m, p] = a · b over `k`. */
interface Sizes {
  readonly n: number;
  readonly m: number;
  readonly k: number;
  readonly p: number;
}

/** The product of two matrices, for each matrix of the batch: `y = a · b`. */
export const matmul = defineOp("matmul", "a[*, m, k], b[*, k, p] -> y[*, m, p]", {
  reference({ a, b }, y, { n, m, k, p }) {
    for (let row = 0; row < n * m; row++) {
      const start = Math.floor(row / m) * k * p;
      for (let q = 0; q < k; q++) {
        const factor = a[row * k + q];
        for (let column = 0; column < p; column++) y[row * p + column] += factor * b[start + q * p + column];
      }
    }
  },
  wgsl: /* wgsl */ `
    let row = i / dims.p;
    let start = row / dims.m * dims.k * dims.p + i % dims.p;
    var total = 0.0;
    for (var q = 0u; q < dims.k; q++) { total += a[row * dims.k + q] * b[start + q * dims.p]; }
    y[i] = total;`,
  fast: {
    wgsl: (profile, { n, m, k, p }) => gemmPlan(profile, "NN", { batch: n, m, n: p, k }),
    simd: ({ a, b }, y, sizes) => batchedGemm("NN", sizes, a, b, y),
  },
  reads: { a: ["b"], b: ["a"] },
  vjp: ({ a, b }, dy) => ({
    a: (): Tensor => sumTo(matmulNT(dy, b), a.shape),
    b: (): Tensor => sumTo(matmulTN(a, dy), b.shape),
  }),
});

/** `y = a · bᵀ`, without a transpose at run time. */
export const matmulNT = defineOp("matmulNT", "a[*, m, k], b[*, p, k] -> y[*, m, p]", {
  reference({ a, b }, y, { m, k, p }) {
    for (let i = 0; i < y.length; i++) {
      const row = Math.floor(i / p);
      const other = Math.floor(row / m) * p + (i % p);
      let total = 0;
      for (let q = 0; q < k; q++) total += a[row * k + q] * b[other * k + q];
      y[i] = total;
    }
  },
  wgsl: /* wgsl */ `
    let row = i / dims.p;
    let other = row / dims.m * dims.p + i % dims.p;
    var total = 0.0;
    for (var q = 0u; q < dims.k; q++) { total += a[row * dims.k + q] * b[other * dims.k + q]; }
    y[i] = total;`,
  fast: {
    wgsl: (profile, { n, m, k, p }) => gemmPlan(profile, "NT", { batch: n, m, n: p, k }),
    simd: ({ a, b }, y, sizes) => batchedGemm("NT", sizes, a, b, y),
  },
  reads: { a: ["b"], b: ["a"] },
  vjp: ({ a, b }, dy) => ({
    a: (): Tensor => sumTo(matmul(dy, b), a.shape),
    b: (): Tensor => sumTo(matmulTN(dy, a), b.shape),
  }),
});

/** `y = aᵀ · b`, without a transpose at run time. */
export const matmulTN = defineOp("matmulTN", "a[*, k, m], b[*, k, p] -> y[*, m, p]", {
  reference({ a, b }, y, { n, m, k, p }) {
    for (let row = 0; row < n * k; row++) {
      const start = Math.floor(row / k) * m * p;
      for (let i = 0; i < m; i++) {
        const factor = a[row * m + i];
        for (let column = 0; column < p; column++) y[start + i * p + column] += factor * b[row * p + column];
      }
    }
  },
  wgsl: /* wgsl */ `
    let batch = i / dims.p / dims.m;
    let row = i / dims.p % dims.m;
    var total = 0.0;
    for (var q = batch * dims.k; q < (batch + 1u) * dims.k; q++) {
      total += a[q * dims.m + row] * b[q * dims.p + i % dims.p];
    }
    y[i] = total;`,
  fast: {
    wgsl: (profile, { n, m, k, p }) => gemmPlan(profile, "TN", { batch: n, m, n: p, k }),
    simd: ({ a, b }, y, sizes) => batchedGemm("TN", sizes, a, b, y),
  },
  reads: { a: ["b"], b: ["a"] },
  vjp: ({ a, b }, dy) => ({
    a: (): Tensor => sumTo(matmulNT(b, dy), a.shape),
    b: (): Tensor => sumTo(matmul(a, dy), b.shape),
  }),
});

function batchedGemm(
  mode: GemmMode,
  { n, m, k, p }: Sizes,
  a: Float32Array,
  b: Float32Array,
  y: Float32Array,
): true {
  gemm(mode, m, p, k, a, b, y, { batch: n });
  return true;
}
