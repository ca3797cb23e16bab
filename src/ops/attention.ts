import { attentionCotangentsF32, attentionHeadsF32, type AttentionShape } from "../cpu/attention.ts";
import { attentionPlan } from "../gpu/attention-kernel.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { attentionDelta, attentionDk, attentionDq, attentionDv, attentionLse } from "./attention-backward.ts";
import { attentionInParts } from "./attention-parts.ts";
import {
  addScaled,
  dot,
  eachScoredRow,
  logSum,
  scaleOf,
} from "./attention-reference.ts";
import { ATTENTION_HELPERS, QUERY_ROW } from "./attention-wgsl.ts";
import { concat } from "./concat.ts";
import { defineOp } from "./define-op.ts";
import { reshape } from "./reshape.ts";
import { slice } from "./slice.ts";

/**
 * Causal attention `softmax(scale · q kᵀ) v` with grouped heads (Vaswani et al. 2017; Ainslie et al. 2023):
 * query head `i` reads key head `⌊i / m⌋`, query `t` attends to the keys up to `c + t` where `mask` is true.
 * A row that attends to nothing is 0. `scale` 0 stands for `1 / √d`. Neither forward nor backward holds t × s
 * numbers.
 */
export const attention = defineOp(
  "attention",
  "q[b, t, g*m, d], k[b, c+t, g, d], v[b, c+t, g, d], mask[b, c+t]:bool -> y[b, t, g*m, d]",
  {
    attrs: { scale: [0, [0.2, 1]] },
    reference({ q, k, v, mask }, y, dims, { scale }) {
      const { d } = dims;
      eachScoredRow({ q, k, mask }, dims, scale, (row, scores) => {
        const lse = logSum(scores);
        if (lse === null) return;
        for (let j = 0; j < row.keys; j++) {
          if (scores[j] !== -Infinity)
            addScaled(Math.exp(scores[j] - lse), v, row.kv + j * row.step, y, row.at * d, d);
        }
      });
    },
    helpers: ATTENTION_HELPERS,
    wgsl: /* wgsl */ `
    let row = i / dims.d;
    ${QUERY_ROW}
    var attends = false; var top = -3.4028234e38; var total = 0.0; var value = 0.0;
    for (var j = 0u; j <= last; j++) {
      if (mask[batch * s + j] == 0) { continue; }
      let key = (batch * s + j) * dims.g + group;
      let own = score(row, key);
      if (is_odd(own)) { y[i] = not_a_number(); return; }
      let next = max(top, own);
      let w = exp(own - next);
      value = value * exp(top - next) + w * v[key * dims.d + i % dims.d];
      total = total * exp(top - next) + w;
      top = next; attends = true;
    }
    y[i] = 0.0;
    if (attends) { y[i] = value / total; }`,
    fast: {
      wgsl: (profile, { b, t, c, g, m, d }, { scale }) =>
        attentionPlan(profile, "forward", { b, t, s: c + t, g, m, d }, scaleOf(scale, d)),
      simd: ({ q, k, v, mask }, y, dims, { scale }) =>
        attentionHeadsF32({ q, k, v, mask }, y, dims, scaleOf(scale, dims.d)),
    },
    decompose: (inputs, attrs) => attentionInParts(inputs, attrs),
    reads(device) {
      const all = ["q", "k", "v", "mask", ...(device === "cpu" ? [] : (["output"] as const))] as const;
      return { q: all, k: all, v: all };
    },
    vjp: ({ q, k, v, mask }, dy, attrs, y) =>
      q.device === "cpu"
        ? packedGradients(q, k, v, mask, dy, attrs)
        : separateGradients(q, k, v, mask, dy, attrs, y),
    ulps: 256, // scores of up to 257 products reach e^x, which turns their absolute error into a relative one
  },
);

const SIGNATURE =
  "q[b, t, g*m, d], k[b, c+t, g, d], v[b, c+t, g, d], mask[b, c+t]:bool, dy[b, t, g*m, d] -> gradients[...]";

/**
 * The cotangents of attention's queries, keys and values, one after the other in one row of numbers. On the
 * CPU one pass over the scores gives all three; it is made of `attentionDq`, `attentionDk` and `attentionDv`,
 * which have kernels of their own on webgpu.
 */
export const attentionGradients = defineOp("attentionGradients", SIGNATURE, {
  attrs: { scale: [0, [0.2, 1]] },
  shape: ({ q, k, v }) => [sizeOf(q) + sizeOf(k) + sizeOf(v)],
  reference({ q, k, v, mask, dy }, gradients, dims, { scale }) {
    const { d } = dims;
    const { dq, dk, dv } = split(gradients, dims);
    eachScoredRow({ q, k, mask }, dims, scale, ({ at, keys, kv, step }, scores) => {
      const lse = logSum(scores);
      if (lse === null) return;
      const weights = scores.map((score) => Math.exp(score - lse));
      const pulled = scores.map((score, j) =>
        score === -Infinity ? 0 : dot(dy, at * d, v, kv + j * step, d),
      );
      const delta = weights.reduce(
        (total, weight, j) => total + (scores[j] === -Infinity ? 0 : weight * pulled[j]),
        0,
      );
      for (let j = 0; j < keys; j++) {
        if (scores[j] === -Infinity) continue;
        const weight = scaleOf(scale, d) * weights[j] * (pulled[j] - delta);
        addScaled(weight, k, kv + j * step, dq, at * d, d);
        addScaled(weight, q, at * d, dk, kv + j * step, d);
        addScaled(weights[j], dy, at * d, dv, kv + j * step, d);
      }
    });
  },
  fast: {
    simd: (inputs, gradients, dims, { scale }) =>
      attentionCotangentsF32(inputs, split(gradients, dims), dims, scaleOf(scale, dims.d)),
  },
  decompose({ q, k, v, mask, dy }, attrs) {
    const lse = attentionLse(q, k, mask, attrs);
    const delta = attentionDelta(dy, attention(q, k, v, mask, attrs));
    const parts = [attentionDq, attentionDk, attentionDv].map((op) =>
      op(q, k, v, mask, lse, delta, dy, attrs),
    );
    return concat(
      parts.map((part: Tensor) => reshape(part, { shape: [part.size] })),
      { axis: 0 },
    );
  },
  ulps: 256, // as attention
});

interface Scale {
  readonly scale: number;
}

/** On the CPU, where one pass over the scores gives all three. */
function packedGradients(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, dy: Tensor, attrs: Scale) {
  let all: Tensor | null = null;
  const part = (like: Tensor, start: number): Tensor => {
    all ??= attentionGradients(q, k, v, mask, dy, attrs);
    return reshape(slice(all, { axis: 0, start, end: start + like.size }), { shape: like.shape });
  };
  return { q: () => part(q, 0), k: () => part(k, q.size), v: () => part(v, q.size + k.size) };
}

/** On webgpu, where each has its kernel. */
function separateGradients(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  mask: Tensor,
  dy: Tensor,
  attrs: Scale,
  y: Tensor,
) {
  let rows: { readonly lse: Tensor; readonly delta: Tensor } | null = null;
  const backward = (op: typeof attentionDq): Tensor => {
    rows ??= { lse: attentionLse(q, k, mask, attrs), delta: attentionDelta(dy, y) };
    return op(q, k, v, mask, rows.lse, rows.delta, dy, attrs);
  };
  return { q: () => backward(attentionDq), k: () => backward(attentionDk), v: () => backward(attentionDv) };
}

function split<T extends { subarray(start: number, end: number): T }>(
  gradients: T,
  { b, t, c, g, m, d }: AttentionShape,
): { dq: T; dk: T; dv: T } {
  const queries = b * t * g * m * d;
  const keys = b * (c + t) * g * d;
  return {
    dq: gradients.subarray(0, queries),
    dk: gradients.subarray(queries, queries + keys),
    dv: gradients.subarray(queries + keys, queries + 2 * keys),
  };
}
