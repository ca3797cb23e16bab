import { rmsNormDweightF32, rmsNormDxF32, rmsNormF32 } from "../cpu/rows.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { add } from "./add.ts";
import { defineOp } from "./define-op.ts";
import { mean } from "./mean.ts";
import { mul } from "./mul.ts";
import { weightPlan } from "./rms-norm-weight.ts";
import { type RowKernel, rowPlan } from "./row-kernel.ts";
import { rsqrt } from "./rsqrt.ts";
import { square } from "./square.ts";
import { sub } from "./sub.ts";
import { sumTo } from "./sum.ts";

const eps = [1e-5, [1e-2, 1]] as const;

/** `1 / √(mean(x²) + eps)` of each row, as a column. */
const inverse = (x: Tensor, attrs: { readonly eps: number }): Tensor =>
  rsqrt(add(mean(square(x), { axes: -1, keepDims: true }), attrs.eps));

/**
 * Root-mean-square normalisation of the last axis: `y = x / √(mean(x²) + eps) · weight` (Zhang & Sennrich
 * 2019).
 */
export const rmsNorm = defineOp("rmsNorm", "x[*, d], weight[d] -> y[*, d]", {
  attrs: { eps },
  reference({ x, weight }, y, { n, d }, attrs) {
    for (let start = 0; start < n * d; start += d) {
      let squares = 0;
      for (let j = 0; j < d; j++) squares += x[start + j] * x[start + j];
      const r = 1 / Math.sqrt(squares / d + attrs.eps);
      for (let j = 0; j < d; j++) y[start + j] = x[start + j] * r * weight[j];
    }
  },
  wgsl: /* wgsl */ `
    var squares = 0.0;
    for (var j = i - i % dims.d; j < i - i % dims.d + dims.d; j++) { squares += x[j] * x[j]; }
    y[i] = x[i] * inverseSqrt(squares / f32(dims.d) + dims.eps) * weight[i % dims.d];`,
  fast: {
    wgsl: (profile, { n, d }, attrs) => rowPlan(profile, FORWARD, n, d, attrs),
    simd: ({ x, weight }, y, { n, d }, attrs) => rmsNormF32(x, weight, y, { rows: n, d, eps: attrs.eps }),
  },
  decompose: ({ x, weight }, attrs) => mul(mul(x, inverse(x, attrs)), weight),
  reads: { x: ["x", "weight"], weight: ["x"] },
  vjp: ({ x, weight }, dy, attrs) => ({
    x: (): Tensor => rmsNormDx(x, weight, dy, attrs),
    weight: (): Tensor => rmsNormDweight(x, dy, attrs),
  }),
});

const FORWARD: RowKernel = {
  label: "rmsNorm",
  buffers: [
    { name: "x", per: "matrix" },
    { name: "weight", per: "column" },
    { name: "y", per: "matrix" },
  ],
  walks: [[{ name: "squares", combine: "sum", each: "x * x" }]],
  between: "let r = inverseSqrt(squares / f32(dims.d) + dims.eps);",
  result: "x * r * weight",
};

/** Cotangent of `rmsNorm`'s input: `r · (g - x̂ · mean(g · x̂))` with `g = dy · weight`, `x̂ = x · r`. */
export const rmsNormDx = defineOp("rmsNormDx", "x[*, d], weight[d], dy[*, d] -> dx[*, d]", {
  attrs: { eps },
  reference({ x, weight, dy }, dx, { n, d }, attrs) {
    for (let start = 0; start < n * d; start += d) {
      let squares = 0;
      let dot = 0;
      for (let j = 0; j < d; j++) {
        squares += x[start + j] * x[start + j];
        dot += dy[start + j] * weight[j] * x[start + j];
      }
      const r = 1 / Math.sqrt(squares / d + attrs.eps);
      const pull = (dot * r * r) / d;
      for (let j = 0; j < d; j++) dx[start + j] = r * (dy[start + j] * weight[j] - x[start + j] * pull);
    }
  },
  wgsl: /* wgsl */ `
    let start = i - i % dims.d;
    var squares = 0.0; var dot_gx = 0.0;
    for (var j = 0u; j < dims.d; j++) {
      squares += x[start + j] * x[start + j];
      dot_gx += dy[start + j] * weight[j] * x[start + j];
    }
    let r = inverseSqrt(squares / f32(dims.d) + dims.eps);
    dx[i] = r * (dy[i] * weight[i - start] - x[i] * (dot_gx * r * r / f32(dims.d)));`,
  fast: {
    wgsl: (profile, { n, d }, attrs) => rowPlan(profile, BACKWARD, n, d, attrs),
    simd: ({ x, weight, dy }, dx, { n, d }, attrs) =>
      rmsNormDxF32(x, weight, dy, dx, { rows: n, d, eps: attrs.eps }),
  },
  decompose({ x, weight, dy }, attrs) {
    const r = inverse(x, attrs);
    const normal = mul(x, r);
    const g = mul(dy, weight);
    return mul(r, sub(g, mul(normal, mean(mul(g, normal), { axes: -1, keepDims: true }))));
  },
});

const BACKWARD: RowKernel = {
  label: "rmsNormDx",
  buffers: [
    { name: "x", per: "matrix" },
    { name: "weight", per: "column" },
    { name: "dy", per: "matrix" },
    { name: "dx", per: "matrix" },
  ],
  walks: [
    [
      { name: "squares", combine: "sum", each: "x * x" },
      { name: "dot_gx", combine: "sum", each: "dy * weight * x" },
    ],
  ],
  between: `let r = inverseSqrt(squares / f32(dims.d) + dims.eps);
  let pull = dot_gx * r * r / f32(dims.d);`,
  result: "r * (dy * weight - x * pull)",
};

/** Cotangent of `rmsNorm`'s weight: `Σ dy · x̂` over the rows. */
export const rmsNormDweight = defineOp("rmsNormDweight", "x[*, d], dy[*, d] -> dweight[d]", {
  attrs: { eps },
  reference({ x, dy }, dweight, { n, d }, attrs) {
    const total = new Float64Array(d);
    for (let start = 0; start < n * d; start += d) {
      let squares = 0;
      for (let j = 0; j < d; j++) squares += x[start + j] * x[start + j];
      const r = 1 / Math.sqrt(squares / d + attrs.eps);
      for (let j = 0; j < d; j++) total[j] += dy[start + j] * x[start + j] * r;
    }
    dweight.set(total);
  },
  wgsl: /* wgsl */ `
    var total = 0.0;
    for (var row = 0u; row < dims.n; row++) {
      var squares = 0.0;
      for (var j = row * dims.d; j < (row + 1u) * dims.d; j++) { squares += x[j] * x[j]; }
      let r = inverseSqrt(squares / f32(dims.d) + dims.eps);
      total += dy[row * dims.d + i] * x[row * dims.d + i] * r;
    }
    dweight[i] = total;`,
  fast: {
    wgsl: (profile, { n, d }, attrs) => weightPlan(profile, n, d, attrs.eps),
    simd: ({ x, dy }, dweight, { n, d }, attrs) =>
      rmsNormDweightF32(x, dy, dweight, { rows: n, d, eps: attrs.eps }),
  },
  decompose: ({ x, dy }, attrs) => sumTo(mul(dy, mul(x, inverse(x, attrs))), [x.shape[x.rank - 1]]),
});
