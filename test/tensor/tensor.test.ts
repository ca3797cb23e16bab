import { describe, expect, it } from "vitest";
import {
  arange,
  expand,
  full,
  less,
  logicalAnd,
  mul,
  ones,
  reshape,
  sum,
  tensor,
  zeros,
} from "../../src/ops/index.ts";
import { CpuStorage, liveCpuStorages } from "../../src/tensor/cpu-storage.ts";
import { ArgumentError, DisposedError, PolargradError } from "../../src/tensor/errors.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

describe("Tensor", () => {
  it("knows its shape, dtype, device, size and rank", async () => {
    const t = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect([t.shape, t.dtype, t.device, t.size, t.rank]).toEqual([[2, 3], "f32", "cpu", 6, 2]);
    expect(await t.data()).toEqual(Float32Array.of(1, 2, 3, 4, 5, 6));
    expect(String(t)).toBe("Tensor(2×3, f32, cpu)");
  });

  it("hands out copies, so that nobody writes into it", async () => {
    const source = Float64Array.of(1, 2);
    const t = tensor(source);
    source[0] = 9;
    (await t.data())[1] = 9;
    expect(await t.data()).toEqual(Float64Array.of(1, 2));
    expect(Object.isFrozen(t.shape)).toBe(true);
  });

  it("gives the item of one element only", async () => {
    expect(await tensor([[7]]).item()).toBe(7);
    await expect(tensor([1, 2]).item()).rejects.toThrow("2");
  });

  it("shares storage between handles until the last is disposed of", () => {
    const before = liveCpuStorages();
    const t = tensor([1, 2]);
    const other = t.detach();
    expect(liveCpuStorages()).toBe(before + 1);
    t.dispose();
    t.dispose();
    expect([...other.dataSync()]).toEqual([1, 2]);
    expect(() => t.dataSync()).toThrow(DisposedError);
    expect(String(t)).toBe("Tensor(disposed)");
    other.dispose();
    expect(liveCpuStorages()).toBe(before);
  });

  it("refuses a shape that does not fit its elements", () => {
    expect(() => new Tensor([2, 2], CpuStorage.zeros("f32", 3))).toThrow(PolargradError);
  });

  it("numbers tensors in the order they were made", () => {
    const a = tensor(1);
    const b = mul(a, 2);
    expect(b.id).toBeGreaterThan(a.id);
  });
});

describe("creation", () => {
  it("keeps what a typed array holds, and turns booleans into bool", () => {
    expect(tensor(Int32Array.of(1)).dtype).toBe("i32");
    expect(tensor(Float64Array.of(1)).dtype).toBe("f64");
    expect(tensor([true, false]).dtype).toBe("bool");
    expect([...tensor([true, false]).dataSync()]).toEqual([1, 0]);
  });

  it("makes scalars, empty tensors and ranges", () => {
    expect(tensor(3).shape).toEqual([]);
    expect(tensor([]).shape).toEqual([0]);
    expect(zeros([2, 0]).size).toBe(0);
    expect([...ones([2]).dataSync(), ...full([1], 5).dataSync()]).toEqual([1, 1, 5]);
    expect([...arange(0, 5, 2).dataSync()]).toEqual([0, 2, 4]);
    expect(arange(3, 1).size).toBe(0);
    expect([...arange(0, 1, 0.25).dataSync()]).toEqual([0, 0.25, 0.5, 0.75]);
  });

  it("refuses ragged rows and shapes that do not fit", () => {
    expect(() => tensor([[1, 2], [3]])).toThrow(ArgumentError);
    expect(() => tensor([1, 2, 3], { shape: [2, 2] })).toThrow("2×2");
    expect(() => tensor([[1], 2])).toThrow(ArgumentError);
    expect(() => arange(0, 1, 0)).toThrow("step");
    expect(() => tensor([1], { device: "webgpu" })).toThrow("not open");
  });

  it.each([
    ["zeros: shape must be a list of integers from 0 on, got [-1, 2]", () => zeros([-1, 2])],
    ["ones: shape must be a list of integers from 0 on, got the number 3", () => ones(3 as never)],
    ["tensor: shape must be a list of integers", () => tensor([1, 2, 3, 4], { shape: [-2, -2] })],
    ["no memory for 1000000000000 elements", () => zeros([1e6, 1e6])],
    ["i32 element must be from -2147483648 to 2147483647, got 2147483648", () => tensor([2 ** 31], { dtype: "i32" })],
    ["i32 element must be from -2147483648 to 2147483647, got NaN", () => full([1], Number.NaN, { dtype: "i32" })],
    ['tensor: dtype must be "f32", "f64", "f16", "bf16", "i32" or "bool", got "f8"', () => tensor([1], { dtype: "f8" as never })],
    ["expand: 3 does not expand to -1×3", () => expand(zeros([3]), { shape: [-1, 3] })],
    ["sum: attribute keepDims must be a boolean, got a string", () => sum(zeros([3]), { keepDims: "no" as never })],
    ["reshape: attribute shape must be a list of integers, got the number 3", () => reshape(zeros([3]), { shape: 3 as never })],
    ["logicalAnd: b must be 0 or 1 beside bool tensors, got 5", () => logicalAnd(tensor([true]), 5)],
    ["less: b must be an integer beside i32 tensors, got 4294967296", () => less(arange(0, 3), 2 ** 32)],
  ])("refuses what makes no sense: %s", (message, make) => {
    expect(make).toThrow(PolargradError);
    expect(make).toThrow(message);
  });

  it("leaves an array that dataSync() gave out to its reader", () => {
    const made = mul(ones([2000]), 3);
    const held = made.detach().dataSync();
    made.dispose();
    for (let i = 0; i < 4; i++) mul(ones([2000]), i).dispose();
    expect(held.every((value) => value === 3)).toBe(true);
  });

  it("rejects the read of a disposed tensor", async () => {
    const gone = tensor([1]);
    gone.dispose();
    await expect(gone.data().catch((error: unknown) => String(error))).resolves.toMatch("was disposed");
  });
});

describe("Parameter", () => {
  it("takes new values of its own shape only", () => {
    const w = new Parameter(tensor([1, 2]));
    expect([w.requiresGrad, w.isLeaf, w.version]).toEqual([true, true, 0]);
    const next = tensor([3, 4]);
    w.assign(next);
    expect([[...w.dataSync()], w.version]).toEqual([[3, 4], 1]);
    next.dispose();
    expect([...w.dataSync()]).toEqual([3, 4]);
    expect(() => w.assign(tensor([1]))).toThrow("the parameter is 2, the value 1");
    expect(() => w.assign(tensor([1, 2], { dtype: "i32" }))).toThrow("the parameter is f32, the value i32");
  });

  it("releases what it held before", () => {
    const before = liveCpuStorages();
    const first = tensor([1]);
    const w = new Parameter(first);
    first.dispose();
    const second = tensor([2]);
    w.assign(second);
    second.dispose();
    expect(liveCpuStorages()).toBe(before + 1);
    w.dispose();
    expect(liveCpuStorages()).toBe(before);
  });
});
