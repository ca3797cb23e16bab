import { describe, expect, it } from "vitest";
import {
  adamwUpdate,
  add,
  arange,
  cast,
  clamp,
  dropout,
  ema,
  emaSquare,
  equal,
  gelu,
  gradients,
  greater,
  less,
  logicalAnd,
  logicalNot,
  logicalOr,
  maximum,
  mul,
  norm,
  ones,
  sum,
  tensor,
  where,
  zeros,
} from "../../src/ops/index.ts";
import { erfOf } from "../../src/ops/erf.ts";
import { philox } from "../../src/tensor/generator.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { checkSpecialCase, expectLike, SPECIAL_CASES } from "./special-values.ts";

describe.each(["f32", "f64"] as const)("special values in %s are PyTorch's", (dtype) => {
  it.each(SPECIAL_CASES.map((row) => ({ name: row.name, row })))("$name", ({ row }) =>
    checkSpecialCase(row, { dtype, device: "cpu" }),
  );
});

describe("erf", () => {
  it("has 15 digits", () => {
    // From mpmath with 40 digits.
    const known = [
      [1e-20, 1.128379167095512e-20],
      [0.1, 0.1124629160182849],
      [1, 0.8427007929497149],
      [2.499, 0.9995908642442554],
      [2.6, 0.9997639655834707],
      [3.5, 0.9999992569016276],
      [5, 0.9999999999984626],
      [-1, -0.8427007929497149],
    ];
    for (const [x, y] of known) expect(Math.abs(erfOf(x) / y - 1)).toBeLessThan(1e-15);
  });
});

describe("gelu", () => {
  it("refuses an unknown approximation", () => {
    expect(() => gelu(zeros([2]), { approximate: "erf" as "none" })).toThrow(
      'approximate must be "none" or "tanh", got "erf"',
    );
  });
});

describe("clamp", () => {
  it("gives max where min > max", async () => {
    expect([...(await clamp(tensor([-5, 0, 5]), { min: 2, max: 1 }).data())]).toEqual([1, 1, 1]);
  });
});

describe("ties and repeats", () => {
  it("maximum(x, x) has the gradient of x", async () => {
    const x = tensor([1, 2], { requiresGrad: true });
    sum(maximum(x, x)).backward();
    expect([...(await x.grad!.data())]).toEqual([1, 1]);
  });
});

describe("bool logic", () => {
  const a = tensor([true, true, false, false]);
  const b = tensor([true, false, true, false]);
  it("and, or, not", async () => {
    expect([...(await logicalAnd(a, b).data())]).toEqual([1, 0, 0, 0]);
    expect([...(await logicalOr(a, b).data())]).toEqual([1, 1, 1, 0]);
    expect([...(await logicalNot(a).data())]).toEqual([0, 0, 1, 1]);
  });
  it("takes bool only and says how to get there", () => {
    expect(() => logicalAnd(a, ones([4]))).toThrow(
      'logicalAnd: b must be bool, got f32; use cast(b, { dtype: "bool" })',
    );
  });
});

describe("comparisons", () => {
  it("compare integers exactly, beyond 2^24 too", async () => {
    const ids = tensor([16777216, 16777217, -2147483648], { dtype: "i32" });
    expect([...(await equal(ids, 16777217).data())]).toEqual([0, 1, 0]);
    expect([...(await less(ids, 0).data())]).toEqual([0, 0, 1]);
  });
  it("refuse a fraction beside integers", () => {
    expect(() => less(arange(0, 3), 1.5)).toThrow("less: b must be an integer beside i32 tensors, got 1.5");
  });
  it("refuse mixed dtypes", () => {
    expect(() => greater(arange(0, 3), ones([3]))).toThrow(
      "greater: b must be i32 like the inputs before it, got f32",
    );
  });
});

describe("where", () => {
  const condition = tensor([true, false, true]);
  it("takes numbers on either side, and only numbers", async () => {
    expect([...(await where(condition, tensor([1.5, 2, 3]), 0.25).data())]).toEqual([1.5, 0.25, 3]);
    expect([...(await where(condition, arange(0, 3), -100).data())]).toEqual([0, -100, 2]);
    const both = where(condition, 1, 0.5);
    expect([both.dtype, ...(await both.data())]).toEqual(["f32", 1, 0.5, 1]);
  });
  it("keeps a NaN of the side not taken out of value and gradient", async () => {
    const a = tensor([1, Number.NaN, 3], { requiresGrad: true });
    const y = where(condition, mul(a, a), 0);
    expect([...(await y.data())]).toEqual([1, 0, 9]);
    const [dy] = gradients(y, [y], { gradient: tensor([1, Number.NaN, 1]), retainGraph: true });
    const [da] = gradients(where(condition, a, 0), [a], { gradient: dy });
    expect([...(await da.data())]).toEqual([1, 0, 1]);
  });
});

describe("cast", () => {
  const values = [1.9, -1.9, -0, Number.NaN, 3e9, -3e9, Number.POSITIVE_INFINITY, 0.5];
  it("to i32 cuts off, saturates and takes NaN to 0", async () => {
    const y = cast(tensor(values), { dtype: "i32" });
    expect([y.dtype, ...(await y.data())]).toEqual([
      "i32",
      1,
      -1,
      0,
      0,
      2147483647,
      -2147483648,
      2147483647,
      0,
    ]);
  });
  it("to bool is `x != 0`", async () => {
    const y = cast(tensor(values), { dtype: "bool" });
    expect([y.dtype, ...(await y.data())]).toEqual(["bool", 1, 1, 0, 1, 1, 1, 1, 1]);
    expect([
      ...(await cast(tensor([0, -2147483648, 7], { dtype: "i32" }), { dtype: "bool" }).data()),
    ]).toEqual([0, 1, 1]);
  });
  it("is differentiable between floats, in the dtype of the input", async () => {
    const x = tensor([0.1, 2], { dtype: "f64", requiresGrad: true });
    const y = cast(x, { dtype: "f32" });
    expect([y.dtype, ...(await y.data())]).toEqual(["f32", Math.fround(0.1), 2]);
    sum(mul(y, y)).backward();
    expect(x.grad!.dtype).toBe("f64");
    expectLike(await x.grad!.data(), [0.2, 4], "gradient");
  });
  it("keeps the dtype by default and cuts the graph to integers", () => {
    expect(cast(arange(0, 3)).dtype).toBe("i32");
    expect(cast(tensor([1], { requiresGrad: true }), { dtype: "i32" }).requiresGrad).toBe(false);
  });
  it("names an unknown dtype", () => {
    expect(() => cast(zeros([1]), { dtype: "float32" as "f32" })).toThrow(
      'cast: attribute dtype must be "f32", "f64", "f16", "bf16", "i32" or "bool", got "float32"',
    );
  });
});

describe("dropout", () => {
  it("draws from Philox 4x32-10 (known answers of Random123)", () => {
    const out = new Uint32Array(4);
    const hex = (): string => [...out].map((word) => word.toString(16).padStart(8, "0")).join(" ");
    philox([0, 0, 0, 0], [0, 0], out);
    expect(hex()).toBe("6627e8d5 e169c58d bc57ac4c 9b00dbd8");
    const all = 0xffffffff;
    philox([all, all, all, all], [all, all], out);
    expect(hex()).toBe("408f276d 41c83b0e a20bc7c6 6d5451fd");
    philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], out);
    expect(hex()).toBe("d16cfe09 94fdcceb 5001e420 24126ea1");
  });
  it.each([0.1, 0.5, 0.75])("keeps a share of 1 - %f and scales it up", async (p) => {
    const length = 100_000;
    const y = await dropout(ones([length], { dtype: "f64" }), { p, seed: 11, stream: 3 }).data();
    const kept = y.filter((value: number) => value !== 0);
    expect(new Set(kept)).toEqual(new Set([1 / (1 - p)]));
    expect(Math.abs(kept.length / length - (1 - p))).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / length));
  });
  it("neighbours, streams and seeds are independent", async () => {
    const mask = async (seed: number, stream: number): Promise<number[]> =>
      [...(await dropout(ones([20_000]), { seed, stream }).data())].map((v) => v - 1);
    const [a, b, c] = [await mask(1, 0), await mask(1, 1), await mask(2, 0)];
    const correlation = (x: number[], y: number[]): number =>
      x.reduce((total, v, i) => total + v * y[i], 0) / x.length;
    for (const other of [b, c, [...a.slice(1), 0], [...a.slice(4), 0, 0, 0, 0]]) {
      expect(Math.abs(correlation(a, other))).toBeLessThan(5 / Math.sqrt(20_000));
    }
    expect(await mask(1, 0)).toEqual(a);
  });
  it("p = 0 keeps all, p = 1 none", async () => {
    expect([...(await dropout(tensor([1, 2]), { p: 0 }).data())]).toEqual([1, 2]);
    expect([...(await dropout(tensor([1, 2]), { p: 1 }).data())]).toEqual([0, 0]);
  });
  it("uses the same mask for the gradient", async () => {
    const x = ones([50], { requiresGrad: true });
    const y = dropout(x, { p: 0.4, seed: 5 });
    sum(y).backward();
    expect([...(await x.grad!.data())]).toEqual([...(await y.data())]);
  });
  it("refuses what is no probability and no u32", () => {
    expect(() => dropout(zeros([3]), { p: 2 })).toThrow(
      "dropout probability has to be between 0 and 1, but got 2",
    );
    expect(() => dropout(zeros([3]), { p: -0.1 })).toThrow(
      "dropout probability has to be between 0 and 1, but got -0.1",
    );
    expect(() => dropout(zeros([3]), { seed: -1 })).toThrow(
      "seed must be an integer from 0 to 4294967295, got -1",
    );
  });
});

describe("AdamW's arithmetic", () => {
  it("is torch.optim.AdamW's, three steps", async () => {
    const [lr, beta1, beta2, eps, decay] = [0.1, 0.9, 0.999, 1e-8, 0.1];
    let [p, m, v] = [
      [1, -2, 0.5],
      [0, 0, 0],
      [0, 0, 0],
    ].map((values) => tensor(values, { dtype: "f64" }));
    for (let t = 1; t <= 3; t++) {
      const g = tensor([0.3 * t, -0.01 * t, 2 * t], { dtype: "f64" });
      m = ema(m, g, { beta: beta1 });
      v = emaSquare(v, g, { beta: beta2 });
      p = adamwUpdate(p, m, v, { lr, eps, decay, correction1: 1 - beta1 ** t, correction2: 1 - beta2 ** t });
    }
    const torch = [0.6809358637927556, -1.6512350598017975, 0.1957863580476587];
    for (const [i, value] of (await p.data()).entries())
      expect(Math.abs(value / torch[i] - 1)).toBeLessThan(1e-14);
  });
});

describe("numbers beside tensors", () => {
  it("work on either side", async () => {
    expect([...(await add(1, tensor([1, 2])).data())]).toEqual([2, 3]);
  });
});

describe("norm", () => {
  it("has the gradient 0 at the zero vector", () => {
    const x = tensor([0, 0, 3, 4], { shape: [2, 2], requiresGrad: true });
    sum(norm(x, { axes: 1 })).backward();
    expect([...(x.grad as Tensor).dataSync()]).toEqual([0, 0, Math.fround(0.6), Math.fround(0.8)]);
  });
});
