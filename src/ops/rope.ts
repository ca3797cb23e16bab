import { foldGrid, GROUP_NUMBER } from "../gpu/fold-grid.ts";
import type { KernelPlan, KernelSource } from "../tensor/op-spec.ts";
import { ropeF32 } from "../cpu/rows.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { add } from "./add.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";
import { slice } from "./slice.ts";
import { sub } from "./sub.ts";
import { sum } from "./sum.ts";

/** Four pairs an invocation, where the heads allow. */
function ropePlan({ b, t, h, p }: { b: number; t: number; h: number; p: number }, turn: number): KernelPlan | null {
  if (p % 4 !== 0) return null;
  const count = (b * t * h * p) / 4;
  const params = Uint32Array.of(count, t, h, p / 4, 0);
  new Float32Array(params.buffer)[4] = turn;
  return { kernel: QUADS, grid: foldGrid(Math.ceil(count / 64)), params };
}

const QUADS: KernelSource = {
  label: "rope",
  bindings: ["read", "read", "read", "read_write"],
  code: /* wgsl */ `
struct Dims { count: u32, t: u32, h: u32, p: u32, turn: f32 }
@group(1) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> cos: array<vec4f>;
@group(0) @binding(2) var<storage, read> sin: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (${GROUP_NUMBER}) * 64u + lane;
  if (i >= dims.count) { return; }
  let head = i / dims.p;
  let at = i + head * dims.p;
  let angle = head / dims.h % dims.t * dims.p + i % dims.p;
  let low = x[at];
  let high = x[at + dims.p];
  let c = cos[angle];
  let s = sin[angle] * dims.turn;
  y[at] = low * c - high * s;
  y[at + dims.p] = high * c + low * s;
}`,
};

/**
 * Rotary position embedding in the rotate-half layout (Su et al. 2021): elements `j` and `j + p` of a head
 * turn by the angle of frequency `j` at position `t`. `cos` and `sin` hold the angles' cosines and sines, so
 * that any scaling of frequencies works; `turn` -1 turns back.
 */
export const rope = defineOp("rope", "x[b, t, h, 2*p], cos[t, p], sin[t, p] -> y[b, t, h, 2*p]", {
  attrs: { turn: [1, [-1, 1]] },
  reference({ x, cos, sin }, y, { b, t, h, p }, { turn }) {
    for (let head = 0; head < b * t * h; head++) {
      const angle = (Math.floor(head / h) % t) * p;
      for (let j = 0; j < p; j++) {
        const i = head * 2 * p + j;
        const c = cos[angle + j];
        const s = turn * sin[angle + j];
        y[i] = x[i] * c - x[i + p] * s;
        y[i + p] = x[i + p] * c + x[i] * s;
      }
    }
  },
  wgsl: /* wgsl */ `
    let j = i % (2u * dims.p);
    let angle = i / (2u * dims.p) / dims.h % dims.t * dims.p + j % dims.p;
    if (j < dims.p) { y[i] = x[i] * cos[angle] - x[i + dims.p] * dims.turn * sin[angle]; }
    else { y[i] = x[i] * cos[angle] + x[i - dims.p] * dims.turn * sin[angle]; }`,
  fast: {
    wgsl: (_profile, dims, { turn }) => ropePlan(dims, turn),
    simd: ({ x, cos, sin }, y, { b, t, h, p }, { turn }) =>
      ropeF32(x, cos, sin, y, { rows: b * t, t, h, p, turn }),
  },
  reads: { x: ["cos", "sin"], cos: ["x"], sin: ["x"] },
  vjp: ({ x, cos, sin }, dy, { turn }) => ({
    x: (): Tensor => rope(dy, cos, sin, { turn: -turn }),
    cos: () => overHeads(add(mul(low(dy), low(x)), mul(high(dy), high(x)))),
    sin: () => mul(turn, overHeads(sub(mul(high(dy), low(x)), mul(low(dy), high(x))))),
  }),
});

const low = (x: Tensor): Tensor => slice(x, { axis: 3, start: 0, end: x.shape[3] / 2 });
const high = (x: Tensor): Tensor => slice(x, { axis: 3, start: x.shape[3] / 2, end: x.shape[3] });
const overHeads = (x: Tensor): Tensor => sum(x, { axes: [0, 2] });
