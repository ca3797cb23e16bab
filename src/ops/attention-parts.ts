import type { Tensor } from "../tensor/tensor.ts";
import { cast } from "./cast.ts";
import { exp } from "./exp.ts";
import { greater } from "./greater.ts";
import { logicalAnd } from "./logical-and.ts";
import { logsumexp } from "./logsumexp.ts";
import { matmul, matmulNT, matmulTN } from "./matmul.ts";
import { mul } from "./mul.ts";
import { reshape } from "./reshape.ts";
import { softmax } from "./softmax.ts";
import { sub } from "./sub.ts";
import { sum } from "./sum.ts";
import { tensor } from "./create.ts";
import { transpose } from "./transpose.ts";
import { where } from "./where.ts";
import { scaleOf } from "./attention-reference.ts";

/** What attention and its backward ops are given, by name. */
export interface AttentionInputs {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly mask: Tensor;
}

/** Inputs of the backward ops. */
export interface AttentionBackwardInputs extends AttentionInputs {
  readonly v: Tensor;
  readonly lse: Tensor;
  readonly delta: Tensor;
  readonly dy: Tensor;
}

interface Scale {
  readonly scale: number;
}

// A score of keys that are not attended to: it vanishes against any other, and stays finite in f32.
const NOWHERE = -1e30;

/** Attention through its t × s scores, with tensors as [b, g, m, rows, columns]. */
export function attentionInParts(
  { q, k, v, mask }: AttentionInputs & { readonly v: Tensor },
  attrs: Scale,
): Tensor {
  const { scores, allowed } = scoresOf({ q, k, mask }, attrs);
  const weights = where(allowed, softmax(where(allowed, scores, NOWHERE)), 0);
  return fromHeads(matmul(weights, keyHeads(v)));
}

/** `attentionLse` in parts. */
export function lseInParts(inputs: AttentionInputs, attrs: Scale): Tensor {
  const { scores, allowed } = scoresOf(inputs, attrs);
  const attends = greater(sum(cast(allowed, { dtype: scores.dtype }), { axes: -1, keepDims: true }), 0);
  const lse = where(attends, logsumexp(where(allowed, scores, NOWHERE), { axes: -1, keepDims: true }), 0);
  const [b, t, heads] = inputs.q.shape;
  return reshape(fromHeads(lse), { shape: [b, t, heads] });
}

/** `attentionDq` in parts. */
export function dqInParts(inputs: AttentionBackwardInputs, attrs: Scale): Tensor {
  return fromHeads(matmul(scoreCotangents(inputs, attrs), keyHeads(inputs.k)));
}

/** `attentionDk` in parts. */
export function dkInParts(inputs: AttentionBackwardInputs, attrs: Scale): Tensor {
  const { q, k } = inputs;
  return fromKeyHeads(matmulTN(scoreCotangents(inputs, attrs), queryHeads(q, k.shape[2])));
}

/** `attentionDv` in parts. */
export function dvInParts(inputs: AttentionBackwardInputs, attrs: Scale): Tensor {
  const { k, dy } = inputs;
  return fromKeyHeads(matmulTN(weightsOf(inputs, attrs), queryHeads(dy, k.shape[2])));
}

/** Scaled scores, and which of them count, as bool [b, 1, 1, t, s]. */
function scoresOf({ q, k, mask }: AttentionInputs, { scale }: Scale): { scores: Tensor; allowed: Tensor } {
  const [b, t, , d] = q.shape;
  const [, s, g] = k.shape;
  const scores = mul(matmulNT(queryHeads(q, g), keyHeads(k)), scaleOf(scale, d));
  const causal = Int32Array.from({ length: t * s }, (_, i) => (i % s <= s - t + Math.floor(i / s) ? 1 : 0));
  const before = tensor(causal, { shape: [t, s], dtype: "bool", device: q.device });
  return { scores, allowed: logicalAnd(before, reshape(mask, { shape: [b, 1, 1, 1, s] })) };
}

/** `e^(score - lse)`, 0 where a key is not attended to. */
function weightsOf(inputs: AttentionBackwardInputs, attrs: Scale): Tensor {
  const { scores, allowed } = scoresOf(inputs, attrs);
  const exponent = sub(scores, queryHeads(column(inputs.lse), inputs.k.shape[2]));
  return where(allowed, exp(where(allowed, exponent, 0)), 0);
}

/** Cotangent of the unscaled scores: `scale · weight · (dy · v - delta)`. */
function scoreCotangents(inputs: AttentionBackwardInputs, attrs: Scale): Tensor {
  const { q, k, v, delta, dy } = inputs;
  const g = k.shape[2];
  const pulled = sub(matmulNT(queryHeads(dy, g), keyHeads(v)), queryHeads(column(delta), g));
  return mul(mul(weightsOf(inputs, attrs), pulled), scaleOf(attrs.scale, q.shape[3]));
}

/** [b, t, h] as [b, t, h, 1]. */
const column = (x: Tensor): Tensor => reshape(x, { shape: [...x.shape, 1] });

/** [b, t, g·m, d] as [b, g, m, t, d]. */
function queryHeads(x: Tensor, g: number): Tensor {
  const [b, t, heads, d] = x.shape;
  return transpose(reshape(x, { shape: [b, t, g, g === 0 ? 0 : heads / g, d] }), { axes: [0, 2, 3, 1, 4] });
}

/** [b, s, g, d] as [b, g, 1, s, d]. */
function keyHeads(x: Tensor): Tensor {
  const [b, s, g, d] = x.shape;
  return reshape(transpose(x, { axes: [0, 2, 1, 3] }), { shape: [b, g, 1, s, d] });
}

/** [b, g, m, t, d] as [b, t, g·m, d]. */
function fromHeads(x: Tensor): Tensor {
  const [b, g, m, t, d] = x.shape;
  return reshape(transpose(x, { axes: [0, 3, 1, 2, 4] }), { shape: [b, t, g * m, d] });
}

/** [b, g, m, s, d] summed over m, as [b, s, g, d]. */
const fromKeyHeads = (x: Tensor): Tensor => transpose(sum(x, { axes: 2 }), { axes: [0, 2, 1, 3] });
