import type { KernelSource } from "../../src/gpu/kernel.ts";

const DECLARATIONS = /* wgsl */ `
struct Params { n: u32, value: f32 }
@group(1) @binding(0) var<uniform> params: Params;
`;

/** `y[i] = x[i] + value` for `i < n`. */
export const addValue: KernelSource = {
  label: "addValue",
  bindings: ["read", "read_write"],
  code: /* wgsl */ `${DECLARATIONS}
    @group(0) @binding(0) var<storage, read> x: array<f32>;
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < params.n) { y[id.x] = x[id.x] + params.value; }
    }`,
};

/** `y[i] = y[i] * 2 + value` for `i < n`: the order of two runs shows in the result. */
export const doubleAndAdd: KernelSource = {
  label: "doubleAndAdd",
  bindings: ["read_write"],
  code: /* wgsl */ `${DECLARATIONS}
    @group(0) @binding(0) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < params.n) { y[id.x] = y[id.x] * 2 + params.value; }
    }`,
};

/** Fills `y[i] = value` for `i < n`, and `n` may be wrong: it does not look at the length. */
export const fill: KernelSource = {
  label: "fill",
  bindings: ["read_write"],
  code: /* wgsl */ `${DECLARATIONS}
    @group(0) @binding(0) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      if (id.x < params.n) { y[id.x] = params.value; }
    }`,
};

/** Parameters of these kernels. */
export function params(n: number, value: number): Uint32Array {
  const words = new Uint32Array(2);
  words[0] = n;
  new Float32Array(words.buffer)[1] = value;
  return words;
}
