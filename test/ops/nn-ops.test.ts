import { describe, expect, it } from "vitest";
import {
  add,
  argmax,
  embedding,
  gather,
  gradients,
  layerNorm,
  linear,
  logSoftmax,
  logsumexp,
  matmul,
  max,
  mean,
  min,
  mul,
  norm,
  ones,
  randn,
  rmsNorm,
  rope,
  scatterAdd,
  softmax,
  sum,
  tensor,
  transpose,
  zeros,
} from "../../src/ops/index.ts";
import { distance, ids, leaf, normal, values } from "./tensors.ts";

describe("reductions", () => {
  it("max and min share their gradient among ties, as torch.amax", () => {
    const x = leaf(
      tensor([
        [3, 1, 3],
        [2, 2, 2],
      ]),
    );
    expect(values(gradients(max(x, { axes: 1 }), [x], { gradient: tensor([1, 1]) })[0])).toEqual(
      [0.5, 0, 0.5, 1 / 3, 1 / 3, 1 / 3].map(Math.fround),
    );
    expect(values(gradients(min(x), [x])[0])).toEqual([0, 1, 0, 0, 0, 0]);
  });

  it("max and min let no NaN vanish, argmax points at it", () => {
    const x = tensor([
      [1, Number.NaN, 3],
      [3, 5, 5],
    ]);
    expect(values(max(x, { axes: 1 }))).toEqual([Number.NaN, 5]);
    expect(values(min(x, { axes: -1 }))).toEqual([Number.NaN, 3]);
    expect(argmax(x).dtype).toBe("i32");
    expect(values(argmax(x))).toEqual([1, 1]);
    expect(values(argmax(x, { axis: 0 }))).toEqual([1, 0, 1]);
  });

  it("nothing has no largest element, but a sum of exponentials", () => {
    expect(() => max(zeros([2, 0]), { axes: 1 })).toThrow("max: nothing has no largest element");
    expect(() => argmax(zeros([0]))).toThrow("argmax: nothing has no largest element");
    expect(max(zeros([0, 3]), { axes: 1 }).shape).toEqual([0]);
    expect(values(logsumexp(zeros([2, 0]), { axes: 1 }))).toEqual([-Infinity, -Infinity]);
    expect(values(mean(zeros([0])))).toEqual([Number.NaN]);
  });

  it("logsumexp and softmax stand large numbers and infinities", () => {
    const x = tensor([
      [1000, 1000, -Infinity],
      [-2000, -Infinity, -Infinity],
    ]);
    expect(values(logsumexp(x, { axes: 1 }))).toEqual([1000 + Math.LN2, -2000].map(Math.fround));
    expect(values(softmax(x))).toEqual([0.5, 0.5, 0, 1, 0, 0]);
    expect(values(logSoftmax(tensor([0, -1000])))).toEqual([0, -1000]);
  });

  it("norm has the subgradient 0 at the zero vector", () => {
    const x = leaf(
      tensor([
        [0, 0],
        [3, 4],
      ]),
    );
    const [dx] = gradients(norm(x, { axes: 1 }), [x], { gradient: tensor([1, 1]) });
    expect(values(dx)).toEqual([0, 0, 3 / 5, 4 / 5].map(Math.fround));
  });
});

describe("rows by index", () => {
  it("embedding names an id that is out of range", () => {
    const weight = randn([4, 2]);
    expect(() => embedding(ids([0, 4]), weight)).toThrow(
      "embedding: every id must be from 0 to 3 (4 rows), got 4 at position 1",
    );
    expect(() => embedding(ids([-1]), weight)).toThrow("got -1 at position 0");
    expect(() => embedding(tensor([1]), weight)).toThrow("embedding: ids must be i32, got f32");
  });

  it("repeated ids add up in the gradient", () => {
    const weight = normal(3, 2);
    const [dw] = gradients(
      sum(
        embedding(
          tensor(
            [
              [1, 1],
              [2, 1],
            ],
            { dtype: "i32" },
          ),
          weight,
        ),
      ),
      [weight],
    );
    expect(values(dw)).toEqual([0, 0, 3, 3, 1, 1]);
    expect(() => scatterAdd(ids([3]), ones([1, 2]), { rows: 3 })).toThrow(
      "scatterAdd: every id must be from 0 to 2",
    );
  });

  it("gather picks as torch.gather", () => {
    const x = leaf(
      tensor([
        [1, 2],
        [3, 4],
      ]),
    );
    const y = gather(
      x,
      tensor(
        [
          [0, 0],
          [1, 0],
        ],
        { dtype: "i32" },
      ),
      { axis: 1 },
    );
    expect(values(y)).toEqual([1, 1, 4, 3]);
    expect(values(gradients(sum(y), [x])[0])).toEqual([2, 0, 1, 1]);
    expect(values(gather(x, tensor([[1, 0]], { dtype: "i32" }), { axis: 0 }))).toEqual([3, 2]);
    expect(() => gather(x, tensor([[2]], { dtype: "i32" }))).toThrow(
      "gather: every index must be from 0 to 1, got 2 at position 0",
    );
    expect(() => gather(x, tensor([[0], [0], [0]], { dtype: "i32" }))).toThrow(
      "axis 0 of index is 3, more than 2 in x",
    );
    expect(() => gather(x, ids([0]))).toThrow("index has 1 axes, x 2");
  });
});

describe("linear algebra", () => {
  it("linear is a product with the transpose", () => {
    const [x, weight] = [randn([2, 3, 5]), randn([4, 5])];
    expect(distance(linear(x, weight), matmul(x, transpose(weight)))).toBeLessThan(1e-5);
  });

  it("a product over nothing is 0", () => {
    expect(values(matmul(zeros([2, 0]), zeros([0, 2])))).toEqual([0, 0, 0, 0]);
    expect(linear(zeros([0, 3]), zeros([2, 3])).shape).toEqual([0, 2]);
  });

  it("explains sizes that do not fit", () => {
    expect(() => matmul(zeros([2, 3]), zeros([4, 2]))).toThrow("matmul: k is 3 in a but 4 in b");
    expect(() => linear(zeros([2, 3]), zeros([4, 2]))).toThrow("linear: k is 3 in x but 2 in weight");
  });
});

describe("normalisation", () => {
  it("rmsNorm and layerNorm give rows of size 1", () => {
    const x = randn([3, 64]);
    const scaled = rmsNorm(mul(x, 100), ones([64]), { eps: 0 });
    expect(values(mean(mul(scaled, scaled), { axes: -1 })).every((size) => Math.abs(size - 1) < 1e-5)).toBe(
      true,
    );
    const centred = layerNorm(add(x, 10), ones([64]), zeros([64]));
    expect(values(mean(centred, { axes: -1 })).every((middle) => Math.abs(middle) < 1e-5)).toBe(true);
  });

  it("a row of zeros stays finite, forward and backward", () => {
    const x = leaf(zeros([1, 4]));
    expect(values(gradients(sum(rmsNorm(x, ones([4]))), [x])[0]).every(Number.isFinite)).toBe(true);
    expect(values(layerNorm(ones([1, 4]), ones([4]), zeros([4])))).toEqual([0, 0, 0, 0]);
  });
});

describe("rope", () => {
  it("turns element j with element j + p, not with its neighbour", () => {
    const x = tensor([1, 2, 0, 0], { shape: [1, 1, 1, 4] });
    const quarter = { cos: tensor([[0, 1]]), sin: tensor([[1, 0]]) };
    expect(values(rope(x, quarter.cos, quarter.sin))).toEqual([0, 2, 1, 0]);
  });
});
