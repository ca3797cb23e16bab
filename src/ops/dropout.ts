import { dropoutF32 } from "../cpu/elementwise.ts";
import { philox } from "../tensor/generator.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { f32Bits } from "./f32-bits.ts";

/** Fourth word of the counter: keeps these random numbers apart from those of other ops. */
const PURPOSE = 2;
const isWord = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < 2 ** 32;

/**
 * Zero each element with probability `p` and scale the others by `1 / (1 - p)`; `p = 1` zeroes all. Element
 * `i` stays where word `i mod 4` of Philox 4x32-10, counter (⌊i/4⌋, 0, stream, 2), key (seed, 0), is at least
 * `p · 2³²`: the same mask on every device. `seed` and `stream` are u32. A zeroed NaN or infinity is NaN, as
 * in PyTorch.
 */
export const dropout = defineOp("dropout", "x[*] -> y[*]", {
  attrs: { p: [0.5, [0, 0.9]], seed: { default: 0 as number }, stream: { default: 0 as number } },
  check(_dims, { p, seed, stream }) {
    if (p < 0 || p > 1) return `dropout probability has to be between 0 and 1, but got ${p}`;
    const wrong = Object.entries({ seed, stream }).find(([, value]) => !isWord(value));
    return wrong ? `${wrong[0]} must be an integer from 0 to 4294967295, got ${wrong[1]}` : null;
  },
  params: (_shapes, { p, seed, stream }) => ({
    seed,
    stream,
    threshold: Math.min(Math.round(p * 2 ** 32), 2 ** 32 - 1),
    scale: f32Bits(scaleOf(p)),
  }),
  randomStream: "stream",
  reference({ x }, y, _dims, { p }, { seed, stream, threshold }) {
    const scale = scaleOf(p);
    const counter = Uint32Array.of(0, 0, stream, PURPOSE);
    const key = Uint32Array.of(seed, 0);
    const words = new Uint32Array(4);
    for (let start = 0; start < y.length; start += 4) {
      counter[0] = start / 4;
      philox(counter, key, words);
      const end = Math.min(start + 4, y.length);
      for (let i = start; i < end; i++) y[i] = x[i] * (words[i - start] >= threshold ? scale : 0);
    }
  },
  helpers: /* wgsl */ `
fn wide_product(a: u32, b: u32) -> vec2<u32> {
  let low = (a & 0xffffu) * (b & 0xffffu);
  let middle = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
  let cross = (a & 0xffffu) * (b >> 16u) + (middle & 0xffffu);
  return vec2<u32>((a >> 16u) * (b >> 16u) + (middle >> 16u) + (cross >> 16u), a * b);
}
fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
  var c = counter; var k = key;
  for (var round = 0; round < 10; round++) {
    let p = wide_product(0xd2511f53u, c.x);
    let q = wide_product(0xcd9e8d57u, c.z);
    c = vec4<u32>(q.x ^ c.y ^ k.x, q.y, p.x ^ c.w ^ k.y, p.y);
    k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}`,
  pointwise: `x * select(V(), V(bitcast<f32>(dims.scale)),
    philox(vec4<u32>(i, 0u, dims.stream, ${PURPOSE}u), vec2<u32>(dims.seed, 0u)) >= vec4<u32>(dims.threshold))`,
  fast: {
    simd: ({ x }, y, _dims, { p }, { seed, stream, threshold }) =>
      dropoutF32(x, y, { seed, stream, purpose: PURPOSE, threshold, scale: scaleOf(p) }),
  },
  reads: {},
  vjp: (_inputs, dy, attrs) => ({ x: (): Tensor => dropout(dy, attrs) }),
  draw: (draw) => ({ shapes: { x: draw.shape() }, attrs: { seed: draw.int(0, 9), stream: draw.int(0, 9) } }),
});

/** What the kept elements are multiplied by; 0 where none is kept. */
const scaleOf = (p: number): number => (p === 1 ? 0 : 1 / (1 - p));
