import { describe, expect, it } from "vitest";
import {
  attention,
  expand,
  gradients,
  ones,
  randn,
  reshape,
  slice,
  tensor,
} from "../../src/ops/index.ts";
import {
  attentionDelta,
  attentionDk,
  attentionDq,
  attentionDv,
  attentionLse,
} from "../../src/ops/attention-backward.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { distance, leaf, normal, values } from "./tensors.ts";

describe("attention", () => {
  const everywhere = (b: number, s: number): Tensor => ones([b, s], { dtype: "bool" });
  const [B, T, G, M, D] = [2, 70, 2, 3, 8];
  const inputs = () => ({ q: normal(B, T, G * M, D), k: normal(B, T, G, D), v: normal(B, T, G, D) });

  it("with one key copies its value; the first row sees the first key alone", () => {
    const { q, k, v } = inputs();
    const y = attention(q, k, v, everywhere(B, T));
    const first = reshape(slice(y, { axis: 1, start: 0, end: 1 }), { shape: [B, G, M, D] });
    const value = expand(reshape(slice(v, { axis: 1, start: 0, end: 1 }), { shape: [B, G, 1, D] }), {
      shape: [B, G, M, D],
    });
    expect(distance(first, value)).toBeLessThan(1e-6);
  });

  it("grouped heads are repeated heads", () => {
    const { q, k, v } = inputs();
    const repeat = (x: Tensor): Tensor =>
      reshape(expand(reshape(x, { shape: [B, T, G, 1, D] }), { shape: [B, T, G, M, D] }), {
        shape: [B, T, G * M, D],
      });
    const mask = everywhere(B, T);
    const [grouped, repeated] = [attention(q, k, v, mask), attention(q, repeat(k), repeat(v), mask)];
    expect(distance(grouped, repeated)).toBeLessThan(1e-5);
    const dy = randn([B, T, G * M, D]);
    const [a, b] = [grouped, repeated].map((y) => gradients(y, [q, k, v], { gradient: dy }));
    for (const [i, gradient] of a.entries()) expect(distance(gradient, b[i])).toBeLessThan(1e-4);
  });

  it("queries after c cached keys are the last rows of the whole", () => {
    const { q, k, v } = inputs();
    const mask = everywhere(B, T);
    const whole = attention(q, k, v, mask);
    const last = attention(slice(q, { axis: 1, start: T - 3 }), k, v, mask);
    expect(distance(last, slice(whole, { axis: 1, start: T - 3 }))).toBeLessThan(1e-6);
    expect(() =>
      attention(
        q,
        slice(k, { axis: 1, end: T - 1 }),
        slice(v, { axis: 1, end: T - 1 }),
        everywhere(B, T - 1),
      ),
    ).toThrow("attention: c+t is 69 in k, which is less than 70");
  });

  it("rows without any key are 0, with gradients of 0; masked keys count for nothing", () => {
    const { q, k, v } = inputs();
    const left = tensor(
      Int32Array.from({ length: B * T }, (_, i) => (i % T >= 5 ? 1 : 0)),
      { shape: [B, T], dtype: "bool" },
    );
    const y = attention(q, k, v, left);
    const padded = (x: Tensor): number[] => values(slice(x, { axis: 1, end: 5 }));
    expect(padded(y).every((value) => value === 0)).toBe(true);
    const found = gradients(y, [q, k, v], { gradient: ones(y.shape) });
    for (const gradient of found) {
      expect(padded(gradient).every((value) => value === 0)).toBe(true);
      expect(values(gradient).every(Number.isFinite)).toBe(true);
    }
    const cut = (x: Tensor): Tensor => slice(x, { axis: 1, start: 5 });
    expect(distance(cut(y), attention(cut(q), cut(k), cut(v), everywhere(B, T - 5)))).toBeLessThan(1e-5);
  });

  it("NaN in masked or later keys and values stays out of a row, forward and backward", () => {
    const { q, k, v } = inputs();
    const poison = (x: Tensor): Tensor =>
      leaf(
        tensor(Float32Array.from(x.dataSync()).fill(Number.NaN, (T - 1) * G * D, T * G * D), {
          shape: x.shape,
        }),
      );
    const [badK, badV] = [poison(k), poison(v)];
    const early = (x: Tensor): Tensor => slice(slice(x, { axis: 0, end: 1 }), { axis: 1, end: T - 1 });
    const clean = attention(q, k, v, everywhere(B, T));
    expect(distance(early(attention(q, badK, badV, everywhere(B, T))), early(clean))).toBeLessThan(1e-6);
    const open = tensor(
      Int32Array.from({ length: B * T }, (_, i) => (i === T - 1 ? 0 : 1)),
      { shape: [B, T], dtype: "bool" },
    );
    const masked = attention(q, badK, badV, open);
    expect(values(masked).every(Number.isFinite)).toBe(true);
    const found = gradients(masked, [q, badK, badV], { gradient: ones(masked.shape) });
    for (const gradient of found) expect(values(gradient).every(Number.isFinite)).toBe(true);
  });

  it("scale 0 stands for 1 / √d", () => {
    const { q, k, v } = inputs();
    const mask = everywhere(B, T);
    expect(values(attention(q, k, v, mask))).toEqual(
      values(attention(q, k, v, mask, { scale: 1 / Math.sqrt(D) })),
    );
  });

  it("the gradients of one pass are those of the separate ops", () => {
    const { q, k, v } = inputs();
    const mask = everywhere(B, T);
    const y = attention(q, k, v, mask);
    const dy = randn(y.shape);
    const together = gradients(y, [q, k, v], { gradient: dy, retainGraph: true });
    const [lse, delta] = [attentionLse(q, k, mask), attentionDelta(dy, y)];
    [attentionDq, attentionDk, attentionDv].forEach((op, i) => {
      expect(distance(op(q, k, v, mask, lse, delta, dy), together[i])).toBeLessThan(1e-4);
    });
  });
});
