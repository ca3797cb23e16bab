import { cast } from "../../src/ops/cast.ts";
import { mul } from "../../src/ops/mul.ts";
import { add } from "../../src/ops/add.ts";
import { defineOp } from "../../src/ops/define-op.ts";
import { sumTo } from "../../src/ops/sum.ts";
import type { KernelSource } from "../../src/tensor/op-spec.ts";
import type { Device } from "../../src/tensor/storage.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { opLaws } from "../../src/testing/index.ts";

/** The laws that an op breaks, by their names without the op's, and what they say. */
export async function brokenLaws(
  op: Parameters<typeof opLaws>[0],
  device: Device,
): Promise<Map<string, string>> {
  const broken = new Map<string, string>();
  for (const law of opLaws(op, { device })) {
    const error = await law.run().then(
      () => null,
      (caught: unknown) => caught,
    );
    if (error) broken.set(law.name.slice(op.spec.name.length + 2), String(error));
  }
  return broken;
}

/** Nothing is wrong with it: `y = a² b / (a² + eps)`-like, in every part of a declaration. */
export const soundOp = defineOp("soundOp", "a[*], b[*] -> y[*]", {
  attrs: { eps: [1, [0.5, 2]] },
  reference({ a, b }, y, _dims, { eps }) {
    for (let i = 0; i < y.length; i++) y[i] = eps * a[i] * a[i] * b[i];
  },
  pointwise: "V(dims.eps) * a * a * b",
  fast: {
    simd({ a, b }, y, _dims, { eps }) {
      for (let i = 0; i < y.length; i++) y[i] = a[i] * b[i] * a[i] * eps;
      return true;
    },
  },
  decompose: ({ a, b }, { eps }) => mul(mul(mul(a, a), b), eps),
  reads: { a: ["a", "b"], b: ["a"] },
  vjp: ({ a, b }, dy, { eps }) => ({
    a: (): Tensor => sumTo(mul(dy, mul(mul(a, b), 2 * eps)), a.shape),
    b: (): Tensor => sumTo(mul(dy, mul(mul(a, a), eps)), b.shape),
  }),
});

/** `y = x³` whose gradient says 2 x². */
export const wrongFormula = defineOp("wrongFormula", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = x[i] ** 3;
  },
  vjp: ({ x }, dy) => ({ x: () => mul(dy, mul(mul(x, x), 2)) }),
});

/** Matrix product of square matrices, so that no shape gives the missing transpose away. */
export const missingTranspose = defineOp("missingTranspose", "a[m, m], b[m, m] -> y[m, m]", {
  reference({ a, b }, y, { m }) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < m; j++) {
        for (let k = 0; k < m; k++) y[i * m + j] += a[i * m + k] * b[k * m + j];
      }
    }
  },
  vjp: ({ a, b }, dy) => ({
    a: (): Tensor => missingTranspose(dy, b),
    b: (): Tensor => missingTranspose(a, dy),
  }),
});

/** Its gradients keep the broadcast shape. */
export const forgottenSum = defineOp("forgottenSum", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = a[i] * b[i];
  },
  vjp: ({ a, b }, dy) => ({ a: () => mul(dy, b), b: () => mul(dy, a) }),
});

/** `y = 3 x` with dx = dy. */
export const passedThrough = defineOp("passedThrough", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = 3 * x[i];
  },
  vjp: (_inputs, dy) => ({ x: () => dy }),
});

/** `y = x² (x + eps)`; the gradient of x³. */
export const droppedEps = defineOp("droppedEps", "x[*] -> y[*]", {
  attrs: { eps: [1e-5, [1e-2, 1]] },
  reference({ x }, y, _dims, { eps }) {
    for (let i = 0; i < y.length; i++) y[i] = x[i] * x[i] * (x[i] + eps);
  },
  vjp: ({ x }, dy) => ({ x: () => mul(dy, mul(mul(x, x), 3)) }),
});

/** The second implementations know only the default of eps. */
export const hardCodedEps = defineOp("hardCodedEps", "x[*] -> y[*]", {
  attrs: { eps: [1e-5, [1e-2, 1]] },
  reference({ x }, y, _dims, { eps }) {
    for (let i = 0; i < y.length; i++) y[i] = x[i] + eps;
  },
  pointwise: "x + V(1e-5)",
  fast: {
    simd({ x }, y) {
      for (let i = 0; i < y.length; i++) y[i] = x[i] + 1e-5;
      return true;
    },
  },
  vjp: (_inputs, dy) => ({ x: () => dy }),
});

/** Rows in reverse; its kernel divides by the wrong size. */
export const wrongIndex = defineOp("wrongIndex", "x[r, d] -> y[r, d]", {
  reference({ x }, y, { r, d }) {
    for (let i = 0; i < r; i++) for (let j = 0; j < d; j++) y[i * d + j] = x[(r - 1 - i) * d + j];
  },
  wgsl: "y[i] = x[(dims.r - 1u - i / dims.r) * dims.d + i % dims.d];",
  vjp: (_inputs, dy) => ({ x: (): Tensor => wrongIndex(dy) }),
});

/** Says that it does not depend on b. */
export const falseConstant = defineOp("falseConstant", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = a[i] + b[i] * b[i];
  },
  vjp: ({ a }, dy) => ({ a: () => sumTo(dy, a.shape), b: null }),
});

/** First derivative right; the second is lost, because the factor is cut out of the graph. */
export const lostSecond = defineOp("lostSecond", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = x[i] ** 3;
  },
  vjp: ({ x }, dy) => {
    const constant = x.detach();
    return { x: () => mul(dy, mul(mul(constant, constant), 3)) };
  },
});

/** `y = a b`, whose gradient by a is said to need a. */
export const unsaidRead = defineOp("unsaidRead", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = a[i] * b[i];
  },
  reads: { a: ["a"], b: ["a"] },
  vjp: ({ a, b }, dy) => ({
    a: (): Tensor => sumTo(mul(dy, b), a.shape),
    b: (): Tensor => sumTo(mul(dy, a), b.shape),
  }),
});

/** `y = e^x`, of which the tape is to keep x too. */
export const idleRead = defineOp("idleRead", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.exp(x[i]);
  },
  reads: { x: ["x", "output"] },
  vjp: (_inputs, dy, _attrs, y) => ({ x: (): Tensor => mul(dy, y) }),
});

/** Works before it is asked. */
export const eager = defineOp("eager", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = a[i] * b[i];
  },
  vjp: ({ a, b }, dy) => {
    const da = mul(dy, b);
    return { a: () => sumTo(da, a.shape), b: () => sumTo(mul(dy, a), b.shape) };
  },
});

/** Its smaller ops compute something else. */
export const wrongDecompose = defineOp("wrongDecompose", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = a[i] * b[i];
  },
  decompose: ({ a, b }) => add(a, b),
});

/** `x · weight`, with kernels that read bf16 as it lies, given what they read of its bits. */
const readsPacked = (name: string, pick: (half: number) => number, wgsl: string) =>
  defineOp(name, "x[d], weight[d]:float|stored -> y[d]", {
    reference({ x, weight }, y) {
      for (let i = 0; i < y.length; i++) y[i] = x[i] * weight[i];
    },
    wgsl: "y[i] = x[i] * weight[i];",
    fast: {
      packed: {
        simd: (format) => (format !== "bf16" ? null : (weight, { x }, y) => {
          const bits = Uint32Array.from(weight, (half) => pick(half) << 16);
          const values = new Float32Array(bits.buffer);
          for (let i = 0; i < y.length; i++) y[i] = x[i] * values[i];
          return true;
        }),
        wgsl: (format, _profile, { d }) =>
          format !== "bf16" ? null : { kernel: packedKernel(wgsl), params: Uint32Array.of(d), grid: [Math.ceil(d / 64), 1, 1] },
      },
    },
    vjp: ({ x, weight }, dy) => ({ x: () => mul(dy, cast(weight, { dtype: dy.dtype })), weight: () => mul(dy, x) }),
  });

const packedKernel = (bits: string): KernelSource => ({
  label: "readsPacked",
  bindings: ["read", "read", "read_write"],
  code: /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> count: u32;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) gid: vec3<u32>) {
  let i = gid.x;
  if (i < count) { y[i] = x[i] * bitcast<f32>(${bits}); }
}`,
});

/** Reads the right half of each word. */
export const soundPacked = readsPacked(
  "soundPacked",
  (half) => half,
  "(weight[i / 2u] >> (16u * (i % 2u))) << 16u",
);

/** Loses the lowest bit of the mantissa on the CPU, takes the halves of a word in the wrong order on the GPU. */
export const misreadPacked = readsPacked(
  "misreadPacked",
  (half) => half & 0xfffe,
  "(weight[i / 2u] << (16u * (i % 2u))) & 0xffff0000u",
);

let calls = 0;

/** Never twice the same. */
export const fickle = defineOp("fickle", "x[*] -> y[*]", {
  reference({ x }, y) {
    calls++;
    for (let i = 0; i < y.length; i++) y[i] = x[i] * (1 + 1e-9 * calls);
  },
  fast: {
    simd({ x }, y) {
      calls++;
      for (let i = 0; i < y.length; i++) y[i] = x[i] + calls * 2 ** -20;
      return true;
    },
  },
});

const hoard: Tensor[] = [];

/** Keeps a handle on every cotangent for ever. */
export const leaky = defineOp("leaky", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = x[i];
  },
  pointwise: "x",
  vjp: (_inputs, dy) => ({
    x: () => {
      const copy = mul(dy, 1);
      copy.storage.retain();
      hoard.push(copy);
      return copy;
    },
  }),
});

/** Writes behind the end of its output. */
export const overrun = defineOp("overrun", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = x[i];
  },
  wgsl: "y[i] = x[i]; if (i == 0u) { y[(dims.count + 3u) / 4u * 4u] = 1.0; }",
});
