import { gemm } from "../cpu/gemm.ts";
import { gemmStored, linearFewRows } from "../cpu/stored.ts";
import { gemmPlan, storedGemmPlan } from "../gpu/gemm.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { rows } from "./rows.ts";

/** `y = x · weightᵀ` with the weight as [outputs, inputs]; a bias is an `add`. */
export const linear = defineOp("linear", "x[*, k], weight[m, k]:float|stored -> y[*, m]", {
  reference({ x, weight }, y, { n, m, k }) {
    for (let row = 0; row < n; row++) {
      for (let column = 0; column < m; column++) {
        let total = 0;
        for (let q = 0; q < k; q++) total += x[row * k + q] * weight[column * k + q];
        y[row * m + column] = total;
      }
    }
  },
  wgsl: /* wgsl */ `
    var total = 0.0;
    for (var q = 0u; q < dims.k; q++) {
      total += x[i / dims.m * dims.k + q] * weight[i % dims.m * dims.k + q];
    }
    y[i] = total;`,
  fast: {
    wgsl: (profile, { n, m, k }) => gemmPlan(profile, "NT", { batch: 1, m: n, n: m, k }),
    simd({ x, weight }, y, { n, m, k }) {
      if (!linearFewRows(x, { format: "f32", data: weight }, y, { rows: n, m, k })) gemm("NT", n, m, k, x, weight, y);
      return true;
    },
    packed: {
      wgsl: (format, profile, { n, m, k }) => storedGemmPlan(format, profile, "NT", { m: n, n: m, k }),
      simd: (format) => (data, { x }, y, { n, m, k }) =>
        linearFewRows(x, { format, data }, y, { rows: n, m, k }) || gemmStored("NT", n, m, k, x, { format, data }, y),
    },
  },
  reads: { x: ["weight"], weight: ["x"] },
  vjp: ({ x, weight }, dy) => ({
    x: (): Tensor => linearDx(dy, weight),
    weight: (): Tensor => linearDweight(rows(dy), rows(x)),
  }),
});

/** `dx = dy · weight`. */
export const linearDx = defineOp("linearDx", "dy[*, m], weight[m, k]:float|stored -> dx[*, k]", {
  reference({ dy, weight }, dx, { n, m, k }) {
    for (let row = 0; row < n; row++) {
      for (let q = 0; q < m; q++) {
        const factor = dy[row * m + q];
        for (let column = 0; column < k; column++) dx[row * k + column] += factor * weight[q * k + column];
      }
    }
  },
  wgsl: /* wgsl */ `
    var total = 0.0;
    for (var q = 0u; q < dims.m; q++) {
      total += dy[i / dims.k * dims.m + q] * weight[q * dims.k + i % dims.k];
    }
    dx[i] = total;`,
  fast: {
    wgsl: (profile, { n, m, k }) => gemmPlan(profile, "NN", { batch: 1, m: n, n: k, k: m }),
    simd({ dy, weight }, dx, { n, m, k }) {
      gemm("NN", n, k, m, dy, weight, dx);
      return true;
    },
    packed: {
      wgsl: (format, profile, { n, m, k }) => storedGemmPlan(format, profile, "NN", { m: n, n: k, k: m }),
      simd: (format) => (data, { dy }, dx, { n, m, k }) => gemmStored("NN", n, k, m, dy, { format, data }, dx),
    },
  },
  reads: { dy: ["weight"], weight: ["dy"] },
  vjp: ({ dy, weight }, g) => ({
    dy: (): Tensor => linear(g, weight),
    weight: (): Tensor => linearDweight(rows(dy), rows(g)),
  }),
});

/** `dweight = dyᵀ · x`, summed over the `t` rows. */
export const linearDweight = defineOp("linearDweight", "dy[t, m], x[t, k] -> dweight[m, k]", {
  reference({ dy, x }, dweight, { t, m, k }) {
    for (let row = 0; row < t; row++) {
      for (let q = 0; q < m; q++) {
        const factor = dy[row * m + q];
        for (let column = 0; column < k; column++) dweight[q * k + column] += factor * x[row * k + column];
      }
    }
  },
  wgsl: /* wgsl */ `
    var total = 0.0;
    for (var row = 0u; row < dims.t; row++) {
      total += dy[row * dims.m + i / dims.k] * x[row * dims.k + i % dims.k];
    }
    dweight[i] = total;`,
  fast: {
    wgsl: (profile, { t, m, k }) => gemmPlan(profile, "TN", { batch: 1, m, n: k, k: t }),
    simd({ dy, x }, dweight, { t, m, k }) {
      gemm("TN", m, k, t, dy, x, dweight);
      return true;
    },
  },
  reads: { dy: ["x"], x: ["dy"] },
  vjp: ({ dy, x }, g) => ({
    dy: (): Tensor => linear(x, g),
    x: (): Tensor => linearDx(dy, g),
  }),
});
