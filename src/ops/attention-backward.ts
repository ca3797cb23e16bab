import { attentionPlan } from "../gpu/attention-kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { dkInParts, dqInParts, dvInParts, lseInParts } from "./attention-parts.ts";
import { addScaled, dot, eachScoredRow, logSum, scaleOf } from "./attention-reference.ts";
import { ATTENTION_HELPERS, overQueries, PULLED, QUERY_ROW } from "./attention-wgsl.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";
import { reshape } from "./reshape.ts";

const attrs = { scale: [0, [0.2, 1]] } as const;
// The same reason as for attention; here nothing keeps a drawn lse above the scores.
const ulps = 1024;

/** `log Σ e^score` of each query row of `attention`; 0 where a row attends to nothing. */
export const attentionLse = defineOp(
  "attentionLse",
  "q[b, t, g*m, d], k[b, c+t, g, d], mask[b, c+t]:bool -> lse[b, t, g*m]",
  {
    attrs,
    reference(inputs, lse, dims, { scale }) {
      eachScoredRow(inputs, dims, scale, (row, scores) => {
        lse[row.at] = logSum(scores) ?? 0;
      });
    },
    helpers: ATTENTION_HELPERS,
    wgsl: /* wgsl */ `
    let row = i;
    ${QUERY_ROW}
    var attends = false; var top = -3.4028234e38; var total = 0.0;
    for (var j = 0u; j <= last; j++) {
      if (mask[batch * s + j] == 0) { continue; }
      let own = score(row, (batch * s + j) * dims.g + group);
      if (is_odd(own)) { lse[i] = not_a_number(); return; }
      let next = max(top, own);
      total = total * exp(top - next) + exp(own - next);
      top = next; attends = true;
    }
    lse[i] = 0.0;
    if (attends) { lse[i] = top + log(total); }`,
    fast: {
      wgsl: (profile, { b, t, c, g, m, d }, { scale }) =>
        attentionPlan(profile, "lse", { b, t, s: c + t, g, m, d }, scaleOf(scale, d)),
    },
    decompose: (inputs, values) => lseInParts(inputs, values),
    ulps: 256,
  },
);

/** `Σ dy · y` of each row: what the softmax's cotangent subtracts. */
export const attentionDelta = defineOp("attentionDelta", "dy[b, t, h, d], y[b, t, h, d] -> delta[b, t, h]", {
  reference({ dy, y }, delta, { d }) {
    for (let row = 0; row < delta.length; row++) delta[row] = dot(dy, row * d, y, row * d, d);
  },
  wgsl: /* wgsl */ `
    var total = 0.0;
    for (var e = i * dims.d; e < (i + 1u) * dims.d; e++) { total += dy[e] * y[e]; }
    delta[i] = total;`,
  fast: { wgsl: (profile, { b, t, h, d }) => attentionPlan(profile, "delta", { b, t, s: t, g: h, m: 1, d }, 1) },
  reads: { dy: ["y"], y: ["dy"] },
  vjp: ({ dy, y }, g) => ({
    dy: (): Tensor => mul(y, reshape(g, { shape: [...g.shape, 1] })),
    y: () => mul(dy, reshape(g, { shape: [...g.shape, 1] })),
  }),
});

const BACKWARD =
  "q[b, t, g*m, d], k[b, c+t, g, d], v[b, c+t, g, d], mask[b, c+t]:bool, lse[b, t, g*m], delta[b, t, g*m], dy[b, t, g*m, d]";

/** Cotangent of attention's queries: `scale · Σ_j w_j (dy · v_j - delta) k_j` with `w = e^(score - lse)`. */
export const attentionDq = defineOp("attentionDq", `${BACKWARD} -> dq[b, t, g*m, d]`, {
  attrs,
  reference({ q, k, v, mask, lse, delta, dy }, dq, dims, { scale }) {
    const { d } = dims;
    eachScoredRow({ q, k, mask }, dims, scale, ({ at, keys, kv, step }, scores) => {
      for (let j = 0; j < keys; j++) {
        if (scores[j] === -Infinity) continue;
        const pulled = dot(dy, at * d, v, kv + j * step, d) - delta[at];
        addScaled(
          Math.exp(scores[j] - lse[at]) * pulled * scaleOf(scale, d),
          k,
          kv + j * step,
          dq,
          at * d,
          d,
        );
      }
    });
  },
  helpers: ATTENTION_HELPERS + PULLED,
  wgsl: /* wgsl */ `
    let row = i / dims.d;
    ${QUERY_ROW}
    var total = 0.0;
    for (var j = 0u; j <= last; j++) {
      if (mask[batch * s + j] == 0) { continue; }
      let key = (batch * s + j) * dims.g + group;
      let w = weight_of(score(row, key) - lse[row]);
      total += w * (pulled(row, key) - delta[row]) * k[key * dims.d + i % dims.d];
    }
    dq[i] = total * scale_of();`,
  fast: {
    wgsl: (profile, { b, t, c, g, m, d }, { scale }) =>
      attentionPlan(profile, "dq", { b, t, s: c + t, g, m, d }, scaleOf(scale, d)),
  },
  decompose: (inputs, values) => dqInParts(inputs, values),
  ulps,
});

/**
 * Cotangent of attention's keys: `scale · Σ w (dy · v - delta) q` over the query rows that attend to the key.
 */
export const attentionDk = defineOp("attentionDk", `${BACKWARD} -> dk[b, c+t, g, d]`, {
  attrs,
  reference({ q, k, v, mask, lse, delta, dy }, dk, dims, { scale }) {
    const { d } = dims;
    eachScoredRow({ q, k, mask }, dims, scale, ({ at, keys, kv, step }, scores) => {
      for (let j = 0; j < keys; j++) {
        if (scores[j] === -Infinity) continue;
        const pulled = dot(dy, at * d, v, kv + j * step, d) - delta[at];
        addScaled(
          Math.exp(scores[j] - lse[at]) * pulled * scaleOf(scale, d),
          q,
          at * d,
          dk,
          kv + j * step,
          d,
        );
      }
    });
  },
  helpers: ATTENTION_HELPERS + PULLED,
  wgsl: `${overQueries("total += w * (pulled(row, key) - delta[row]) * q[row * dims.d + e];")}
    dk[i] = total * scale_of();`,
  fast: {
    wgsl: (profile, { b, t, c, g, m, d }, { scale }) =>
      attentionPlan(profile, "dk", { b, t, s: c + t, g, m, d }, scaleOf(scale, d)),
  },
  decompose: (inputs, values) => dkInParts(inputs, values),
  ulps,
});

/**
 * Cotangent of attention's values: `Σ w dy` over the query rows that attend to the value. Reads neither `v`
 * nor `delta`.
 */
export const attentionDv = defineOp("attentionDv", `${BACKWARD} -> dv[b, c+t, g, d]`, {
  attrs,
  reference({ q, k, mask, lse, dy }, dv, dims, { scale }) {
    const { d } = dims;
    eachScoredRow({ q, k, mask }, dims, scale, ({ at, keys, kv, step }, scores) => {
      for (let j = 0; j < keys; j++) {
        if (scores[j] !== -Infinity)
          addScaled(Math.exp(scores[j] - lse[at]), dy, at * d, dv, kv + j * step, d);
      }
    });
  },
  helpers: ATTENTION_HELPERS,
  wgsl: `${overQueries("total += w * dy[row * dims.d + e];")}
    dv[i] = total;`,
  fast: {
    wgsl: (profile, { b, t, c, g, m, d }, { scale }) =>
      attentionPlan(profile, "dv", { b, t, s: c + t, g, m, d }, scaleOf(scale, d)),
  },
  decompose: (inputs, values) => dvInParts(inputs, values),
  ulps,
});
