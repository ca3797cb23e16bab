import type { KernelPlan, KernelSource } from "../tensor/op-spec.ts";
import { deltaKernel, dkKernel, dqKernel, dvKernel } from "./attention-kernel-backward.ts";
import { forwardKernel, lseKernel } from "./attention-kernel-forward.ts";
import { TILE, WORKGROUP } from "./attention-kernel-wgsl.ts";
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
  forward: { build: forwardKernel, inputs: 4, tiles: "queries" },
  lse: { build: lseKernel, inputs: 3, tiles: "queries" },
  delta: { build: deltaKernel, inputs: 2, tiles: "rows" },
  dq: { build: dqKernel, inputs: 7, tiles: "queries" },
  dk: { build: dkKernel, inputs: 7, tiles: "keys" },
  dv: { build: dvKernel, inputs: 7, tiles: "keys" },
} as const;

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
 */
export function attentionPlan(which: AttentionStep, dims: AttentionDims, scale: number): KernelPlan {
  const { b, t, s, g, m, d } = dims;
  const { tiles } = KERNELS[which];
  const blocks = Math.ceil((tiles === "keys" ? s : t) / TILE);
  const count = { queries: b * blocks * g * m, keys: b * blocks * g, rows: b * t * g * m }[tiles];
  const params = Uint32Array.of(t, s, g, m, d, blocks, count, 0, 0);
  new Float32Array(params.buffer).set([scale, Number.NaN], 7);
  return { kernel: kernelOf(which, d % 4 === 0), grid: foldGrid(Math.ceil(count / WORKGROUP)), params };
}

const built = new Map<string, KernelSource>();

function kernelOf(which: AttentionStep, aligned: boolean): KernelSource {
  const label = `attention ${which}${aligned ? "" : " ragged"}`;
  const known = built.get(label);
  if (known) return known;
  const { build, inputs } = KERNELS[which];
  const bindings = [...Array.from({ length: inputs }, () => "read" as const), "read_write" as const];
  const kernel = { label, code: build(aligned), bindings };
  built.set(label, kernel);
  return kernel;
}
