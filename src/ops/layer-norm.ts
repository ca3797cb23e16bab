import type { Tensor } from "../tensor/tensor.ts";
import { add } from "./add.ts";
import { defineOp } from "./define-op.ts";
import { mean } from "./mean.ts";
import { mul } from "./mul.ts";
import { type RowKernel, type RowStage, rowPlan } from "./row-kernel.ts";
import { rsqrt } from "./rsqrt.ts";
import { square } from "./square.ts";
import { sub } from "./sub.ts";
import { sumTo } from "./sum.ts";

const eps = [1e-5, [1e-2, 1]] as const;
const rowMean = (x: Tensor): Tensor => mean(x, { axes: -1, keepDims: true });

/** The rows with mean 0 and variance near 1, and `1 / √(variance + eps)` as a column. */
function normalise(
  x: Tensor,
  attrs: { readonly eps: number },
): { readonly normal: Tensor; readonly r: Tensor } {
  const centred = sub(x, rowMean(x));
  const r = rsqrt(add(rowMean(square(centred)), attrs.eps));
  return { normal: mul(centred, r), r };
}

/**
 * Layer normalisation of the last axis: `y = (x - mean) / √(variance + eps) · weight + bias` (Ba et al.
 * 2016).
 */
export const layerNorm = defineOp("layerNorm", "x[*, d], weight[d], bias[d] -> y[*, d]", {
  attrs: { eps },
  reference({ x, weight, bias }, y, { n, d }, attrs) {
    for (let start = 0; start < n * d; start += d) {
      let middle = 0;
      for (let j = 0; j < d; j++) middle += x[start + j] / d;
      let squares = 0;
      for (let j = 0; j < d; j++) squares += (x[start + j] - middle) ** 2;
      const r = 1 / Math.sqrt(squares / d + attrs.eps);
      for (let j = 0; j < d; j++) y[start + j] = (x[start + j] - middle) * r * weight[j] + bias[j];
    }
  },
  wgsl: /* wgsl */ `
    let start = i - i % dims.d; let end = start + dims.d;
    var total = 0.0;
    for (var j = start; j < end; j++) { total += x[j]; }
    let middle = total / f32(dims.d);
    var squares = 0.0;
    for (var j = start; j < end; j++) { squares += (x[j] - middle) * (x[j] - middle); }
    let r = inverseSqrt(squares / f32(dims.d) + dims.eps);
    y[i] = (x[i] - middle) * r * weight[i - start] + bias[i - start];`,
  fast: { wgsl: (profile, { n, d }, attrs) => rowPlan(profile, FORWARD, n, d, attrs) },
  decompose: ({ x, weight, bias }, attrs) => add(mul(normalise(x, attrs).normal, weight), bias),
  reads: { x: ["x", "weight"], weight: ["x"] },
  vjp: ({ x, weight, bias }, dy, attrs) => ({
    x: (): Tensor => layerNormDx(x, weight, dy, attrs),
    weight: () => sumTo(mul(dy, normalise(x, attrs).normal), weight.shape),
    bias: () => sumTo(dy, bias.shape),
  }),
});

const MIDDLE: RowStage = { name: "middle", combine: "sum", each: "x / f32(dims.d)" };
const SQUARES: RowStage = { name: "squares", combine: "sum", each: "(x - middle) * (x - middle)" };

const FORWARD: RowKernel = {
  label: "layerNorm",
  buffers: [
    { name: "x", per: "matrix" },
    { name: "weight", per: "column" },
    { name: "bias", per: "column" },
    { name: "y", per: "matrix" },
  ],
  walks: [[MIDDLE], [SQUARES]],
  between: "let r = inverseSqrt(squares / f32(dims.d) + dims.eps);",
  result: "(x - middle) * r * weight + bias",
};

/**
 * Cotangent of `layerNorm`'s input: `r · (g - mean(g) - x̂ · mean(g · x̂))` with `g = dy · weight` and x̂ the
 * normalised input.
 */
export const layerNormDx = defineOp("layerNormDx", "x[*, d], weight[d], dy[*, d] -> dx[*, d]", {
  attrs: { eps },
  reference({ x, weight, dy }, dx, { n, d }, attrs) {
    for (let start = 0; start < n * d; start += d) {
      let middle = 0;
      let shift = 0;
      for (let j = 0; j < d; j++) {
        middle += x[start + j] / d;
        shift += (dy[start + j] * weight[j]) / d;
      }
      let squares = 0;
      let dot = 0;
      for (let j = 0; j < d; j++) {
        const centred = x[start + j] - middle;
        squares += centred * centred;
        dot += dy[start + j] * weight[j] * centred;
      }
      const r = 1 / Math.sqrt(squares / d + attrs.eps);
      const pull = (dot * r * r) / d;
      for (let j = 0; j < d; j++)
        dx[start + j] = r * (dy[start + j] * weight[j] - shift - (x[start + j] - middle) * pull);
    }
  },
  wgsl: /* wgsl */ `
    let start = i - i % dims.d;
    var middle = 0.0; var shift = 0.0;
    for (var j = 0u; j < dims.d; j++) {
      middle += x[start + j] / f32(dims.d);
      shift += dy[start + j] * weight[j] / f32(dims.d);
    }
    var squares = 0.0; var dot_gx = 0.0;
    for (var j = 0u; j < dims.d; j++) {
      let centred = x[start + j] - middle;
      squares += centred * centred;
      dot_gx += dy[start + j] * weight[j] * centred;
    }
    let r = inverseSqrt(squares / f32(dims.d) + dims.eps);
    dx[i] = r * (dy[i] * weight[i - start] - shift - (x[i] - middle) * (dot_gx * r * r / f32(dims.d)));`,
  fast: { wgsl: (profile, { n, d }, attrs) => rowPlan(profile, BACKWARD, n, d, attrs) },
  decompose({ x, weight, dy }, attrs) {
    const { normal, r } = normalise(x, attrs);
    const g = mul(dy, weight);
    return mul(r, sub(sub(g, rowMean(g)), mul(normal, rowMean(mul(g, normal)))));
  },
});

const BACKWARD: RowKernel = {
  label: "layerNormDx",
  buffers: [
    { name: "x", per: "matrix" },
    { name: "weight", per: "column" },
    { name: "dy", per: "matrix" },
    { name: "dx", per: "matrix" },
  ],
  walks: [
    [MIDDLE, { name: "shift", combine: "sum", each: "dy * weight / f32(dims.d)" }],
    [SQUARES, { name: "dot_gx", combine: "sum", each: "dy * weight * (x - middle)" }],
  ],
  between: `let r = inverseSqrt(squares / f32(dims.d) + dims.eps);
  let pull = dot_gx * r * r / f32(dims.d);`,
  result: "r * (dy * weight - shift - (x - middle) * pull)",
};
