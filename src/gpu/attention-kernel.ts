import type { KernelPlan, KernelProfile, KernelSource } from "../tensor/op-spec.ts";
import { deltaKernel, dkKernel, dqKernel, dvKernel } from "./attention-kernel-backward.ts";
import { forwardKernel, lseKernel } from "./attention-kernel-forward.ts";
import type { AttentionShape } from "./attention-kernel-wgsl.ts";
import { foldGrid } from "./fold-grid.ts";

/** Sizes of causal grouped-query attention; any of them may be 0. */
export interface AttentionDims {
  /** Sequences. */
  readonly b: number;
  /** Query rows of a sequence; the last one is at the position of the last key. */
  readonly t: number;
  /** Keys of a sequence. */
  readonly s: number;
  /** Heads of keys and values. */
  readonly g: number;
  /** Query heads that share a head of keys and values. */
  readonly m: number;
  /** Elements of a head. */
  readonly d: number;
}

/** One step of attention; `attentionPlan` says what each reads and writes. */
export type AttentionStep = "forward" | "lse" | "delta" | "dq" | "dk" | "dv";

const KERNELS = {
  forward: { build: forwardKernel, inputs: 4, own: "queries" },
  lse: { build: lseKernel, inputs: 3, own: "queries" },
  delta: { build: deltaKernel, inputs: 2, own: "queries" },
  dq: { build: dqKernel, inputs: 7, own: "queries" },
  dk: { build: dkKernel, inputs: 7, own: "keys" },
  dv: { build: dvKernel, inputs: 7, own: "keys" },
} as const;

/** The largest head whose row a lane holds in registers. */
const LARGEST_HEAD = 128;

/**
 * Plans one step of causal grouped-query attention, f32, token-major: q, y, dy [b, t, h, d];
 * k, v [b, s, g, d]; lse, delta [b, t, h]; mask [b, s] i32, 0 for keys that no one attends to. h is g·m,
 * query head i reads head ⌊i / m⌋, and row t sees the keys up to (s - t_len) + t. No buffer of t x s is needed.
 * Buffers, the output last:
 *
 * - forward: q, k, v, mask, y = softmax(scale · q kᵀ) v; zeros in a row that attends to no key
 * - lse: q, k, mask, lse = logsumexp(scale · q kᵀ); 0 in such a row
 * - delta: dy, y, delta = Σ_d dy · y
 * - dq, dk, dv: q, k, v, mask, lse, delta, dy and the gradient (dv reads neither v nor delta)
 *
 * NaN or infinity among what a row attends to shows in that row: a score that is not finite makes it NaN.
 * Null for heads of more than 128 elements.
 */
export function attentionPlan(
  profile: KernelProfile,
  which: AttentionStep,
  dims: AttentionDims,
  scale: number,
): KernelPlan | null {
  const { b, t, s, g, m, d } = dims;
  if (d === 0 || d > LARGEST_HEAD) return null;
  const ownKeys = KERNELS[which].own === "keys";
  const rows = ownKeys ? s : t;
  const shape = shapeFor(profile, rows, d);
  const blocks = Math.ceil(rows / (shape.lanes * shape.own));
  const groups = b * blocks * g * (ownKeys ? 1 : m);
  const params = Uint32Array.of(t, s, g, m, d, blocks, groups, 0, 0);
  new Float32Array(params.buffer).set([scale, Number.NaN], 7);
  return { kernel: kernelOf(which, shape), grid: foldGrid(groups), params };
}

/** Rows from which on it pays to compile longer for lanes that own several: each shares what it loads of the other side. */
const MANY = 128;

function shapeFor({ isSoftware, subgroups, subgroupSize }: KernelProfile, rows: number, d: number): AttentionShape {
  const head = { parts: Math.ceil(d / 4), aligned: d % 4 === 0 };
  const lanes = isSoftware && subgroups ? subgroupSize : null;
  if (lanes !== 4 && lanes !== 8 && lanes !== 16) return { ...head, lanes: 32, own: 1, tile: 4, share: false };
  const isShort = head.parts <= 4;
  return { ...head, lanes, own: rows < MANY ? 1 : isShort ? 4 : 2, tile: isShort ? 2 : 1, share: true };
}

const built = new Map<string, KernelSource>();

function kernelOf(which: AttentionStep, shape: AttentionShape): KernelSource {
  const label = [
    `attention ${which} ${4 * shape.parts}`,
    ...(shape.aligned ? [] : ["ragged"]),
    ...(shape.share ? [`subgroup ${shape.lanes}x${shape.own}`] : []),
  ].join(" ");
  const known = built.get(label);
  if (known) return known;
  const { build, inputs } = KERNELS[which];
  const bindings = [...Array.from({ length: inputs }, () => "read" as const), "read_write" as const];
  const kernel = { label, code: build(shape), bindings };
  built.set(label, kernel);
  return kernel;
}
