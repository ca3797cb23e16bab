import { describe, expect, it } from "vitest";
import {
  arange,
  concat,
  ones,
  pad,
  rand,
  slice,
  split,
  squeeze,
  stack,
  tensor,
  transpose,
  unsqueeze,
  zeros,
} from "../../src/ops/index.ts";

describe("axes", () => {
  const x = arange(0, 6).detach();
  const grid = (rows: number[][]) => tensor(rows);
  it("transpose swaps the last two axes, or follows a permutation", async () => {
    expect([
      ...(await transpose(
        grid([
          [1, 2, 3],
          [4, 5, 6],
        ]),
      ).data()),
    ]).toEqual([1, 4, 2, 5, 3, 6]);
    const t = transpose(rand([2, 3, 4]), { axes: [-1, 0, 1] });
    expect(t.shape).toEqual([4, 2, 3]);
    expect(() => transpose(x)).toThrow("swapping the last two axes needs at least 2, x has 1");
    expect(() => transpose(grid([[1]]), { axes: [0, 0] })).toThrow(
      "axes [0, 0] must name each of the 2 axes once",
    );
    expect(() => transpose(grid([[1]]), { axes: [0, 2] })).toThrow("axis 2 is out of range for 2 axes");
  });
  it.each([
    [1, 4, [1, 2, 3]],
    [-2, null, [4, 5]],
    [0, -1, [0, 1, 2, 3, 4]],
    [4, 99, [4, 5]],
    [-99, 2, [0, 1]],
    [4, 2, []],
    [9, null, []],
  ])("slice %s to %s is NumPy's", async (start, end, expected) => {
    expect([...(await slice(x, { start, end }).data())]).toEqual(expected);
  });
  it("slice refuses fractions and wrong axes", () => {
    expect(() => slice(x, { start: 0.5 })).toThrow("start and end must be integers, got 0.5");
    expect(() => slice(x, { axis: 1 })).toThrow("axis 1 is out of range for 1 axes");
  });
  it("pad surrounds with zeros, also what is empty", async () => {
    expect([...(await pad(grid([[1], [2]]), { axis: 1, before: 1, after: 1 }).data())]).toEqual([
      0, 1, 0, 0, 2, 0,
    ]);
    expect([...(await pad(zeros([0]), { before: 2 }).data())]).toEqual([0, 0]);
    expect(() => pad(x, { before: -1 })).toThrow("before and after must be integers from 0 on, got -1");
  });
  it("concat joins any number of tensors of any dtype", async () => {
    const parts = [0, 1, 2, 3, 4].map((k) => tensor([[k, k]], { dtype: "i32" }));
    expect([...(await concat(parts).data())]).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    expect(concat(parts, { axis: -1 }).shape).toEqual([1, 10]);
    expect(concat([parts[0]])).not.toBe(parts[0]);
  });
  it("concat names the tensor that does not fit", () => {
    expect(() => concat([ones([2, 3]), ones([2, 3]), ones([3, 4])])).toThrow(
      "concat: tensor 2 is 3×4, tensor 0 is 2×3: all axes but axis 0 have to agree",
    );
    expect(() => concat([])).toThrow("concat: the list must be of at least one tensor, got an empty list");
    expect(() => concat([ones([2])], { axis: 1 })).toThrow("axis 1 is out of range");
    expect(() => concat([ones([2]), arange(0, 2)])).toThrow(
      "concat: tensor 1 must be f32 like tensor 0, got i32; cast one of them",
    );
    expect(() => concat(ones([2]) as never)).toThrow("write concat([a, b])");
  });
  it("stack adds an axis", async () => {
    const [a, b] = [tensor([1, 2]), tensor([3, 4])];
    expect([...(await stack([a, b]).data())]).toEqual([1, 2, 3, 4]);
    expect([...(await stack([a, b], { axis: -1 }).data())]).toEqual([1, 3, 2, 4]);
    expect(() => stack([a, ones([3])])).toThrow(
      "stack: tensor 1 is 3, tensor 0 is 2: all shapes have to agree",
    );
    expect(() => stack([a, b], { axis: 2 })).toThrow("axis must be from -2 to 1, got 2");
  });
  it("split undoes concat", async () => {
    expect(split(x, 4).map((part) => part.size)).toEqual([4, 2]);
    const parts = split(
      grid([
        [1, 2, 3],
        [4, 5, 6],
      ]),
      [1, 2],
      { axis: -1 },
    );
    expect([...(await parts[1].data())]).toEqual([2, 3, 5, 6]);
    expect(() => split(x, [1, 2])).toThrow(
      "split: sizes must be integers that add up to 6, the size of axis 0, got [1, 2] (3)",
    );
    expect(() => split(x, 0)).toThrow("split: sizes must be an integer from 1 on, or a list, got 0");
  });
  it("squeeze and unsqueeze", () => {
    expect(unsqueeze(x, { axis: -1 }).shape).toEqual([6, 1]);
    expect(squeeze(ones([1, 2, 1])).shape).toEqual([2]);
    expect(squeeze(ones([1, 2, 1]), { axis: 0 }).shape).toEqual([2, 1]);
    expect(squeeze(ones([1, 2, 1]), { axis: 1 }).shape).toEqual([1, 2, 1]);
    expect(() => squeeze(x, { axis: 3 })).toThrow("squeeze: axis must be from -1 to 0, got 3");
  });
});
