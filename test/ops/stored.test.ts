import { describe, expect, it } from "vitest";
import {
  add,
  cast,
  embedding,
  gradients,
  linear,
  linearCrossEntropy,
  matmul,
  noGrad,
  norm,
  ones,
  quantize,
  randn,
  reshape,
  sum,
  tensor,
  tidy,
  to,
  zeros,
} from "../../src/ops/index.ts";
import { liveCpuStorages } from "../../src/tensor/cpu-storage.ts";
import { ArgumentError, GraphError, PolargradError } from "../../src/tensor/errors.ts";
import { Parameter } from "../../src/tensor/parameter.ts";

const third = Math.fround(1 / 3);

describe.each([
  { format: "f16", rounded: 0.333251953125, large: 65504 },
  { format: "bf16", rounded: 0.333984375, large: 65536 },
] as const)("a tensor in $format", ({ format, rounded, large }) => {
  it("holds rounded values in two bytes each, and gives them as f32", async () => {
    const x = cast(tensor([[third, -2], [0, 65504]]), { dtype: format });
    expect([x.dtype, x.shape, x.size, String(x)]).toEqual([format, [2, 2], 4, `Tensor(2×2, ${format}, cpu)`]);
    expect([...(await x.data())]).toEqual([rounded, -2, 0, large]);
    expect(x.dataSync()).toEqual(await x.data());
    expect(await x.data()).toBeInstanceOf(Float32Array);
    expect(((await x.storage.read()) as Uint16Array).byteLength).toBe(8);
    expect(await cast(tensor(third), { dtype: format }).item()).toBe(rounded);
  });

  it("is made by tensor, zeros and randn too, as casting what they make in f32", async () => {
    expect([...tensor([third, 1], { dtype: format }).dataSync()]).toEqual([rounded, 1]);
    expect([...zeros([2], { dtype: format }).dataSync(), ...ones([1], { dtype: format }).dataSync()]).toEqual([0, 0, 1]);
    expect(randn([3], { dtype: format }).dtype).toBe(format);
  });

  it("is cast back exactly, to f64, i32 and bool too, and stays the same as f32 by default", async () => {
    const x = tensor([third, -2.5, 0], { dtype: format });
    for (const dtype of ["f32", "f64"] as const) {
      const y = cast(x, { dtype });
      expect([y.dtype, ...y.dataSync()]).toEqual([dtype, rounded, -2.5, 0]);
    }
    expect([...cast(x, { dtype: "i32" }).dataSync()]).toEqual([0, -2, 0]);
    expect([...cast(x, { dtype: "bool" }).dataSync()]).toEqual([1, 1, 0]);
    expect(cast(x).dtype).toBe("f32");
    expect(cast(tensor([1, 2], { dtype: "i32" }), { dtype: format }).dtype).toBe(format);
  });

  it("is rounded from f64 by way of f32, as PyTorch does", () => {
    // Just above a tie in f64, on it in f32.
    const unit = format === "f16" ? 2 ** -10 : 2 ** -7;
    const x = tensor([1 + unit / 2 + 2 ** -40], { dtype: "f64" });
    expect([...cast(x, { dtype: format }).dataSync()]).toEqual([1]);
  });

  it("carries no gradient", () => {
    const x = zeros([2], { dtype: format });
    expect(() => {
      x.requiresGrad = true;
    }).toThrow(`only f32 and f64 tensors can require a gradient, this one is ${format}; load or cast it as "f32" to train it`);
    const y = zeros([2], { requiresGrad: true });
    expect(() => cast(y, { dtype: format })).toThrow(GraphError);
    expect(() => cast(y, { dtype: format })).toThrow(`cast: no gradient passes through ${format}, but its input requires one; call it in noGrad()`);
    expect(noGrad(() => cast(y, { dtype: format })).requiresGrad).toBe(false);
  });

  it("is refused by what does not take it, with advice", () => {
    const x = zeros([2, 2], { dtype: format });
    const y = zeros([2, 2]);
    expect(() => add(y, x)).toThrow(ArgumentError);
    expect(() => add(y, x)).toThrow(`add: b must be f32 or f64, got ${format}; use cast(b, { dtype: "f32" })`);
    expect(() => add(x, 1)).toThrow(`add: a must be f32 or f64, got ${format}`);
    expect(() => matmul(x, y)).toThrow(`matmul: a must be f32 or f64, got ${format}`);
    expect(() => linear(x, y)).toThrow(`linear: x must be f32 or f64, got ${format}`);
    expect(() => reshape(x, { shape: [4] })).toThrow(`reshape: x must be f32, f64, i32 or bool, got ${format}; use cast`);
  });

  it("serves as a weight in f32 and in f64, whose precision the others set", () => {
    const weight = tensor([[third, 1], [2, -1]], { dtype: format });
    for (const dtype of ["f32", "f64"] as const) {
      const x = tensor([[3, 1]], { dtype, requiresGrad: true });
      const y = linear(x, weight);
      expect([y.dtype, ...y.dataSync()]).toEqual([dtype, 3 * rounded + 1, 5]);
      sum(y).backward();
      expect([x.grad?.dtype, ...(x.grad?.dataSync() ?? [])]).toEqual([dtype, rounded + 2, 0]);
    }
  });

  it("has its column norms taken, rows read and loss computed", () => {
    const weight = tensor([[3, third], [4, 0]], { dtype: format });
    expect([...norm(weight, { axes: 0 }).dataSync()]).toEqual([5, rounded]);
    expect([...embedding(tensor([1, 0], { dtype: "i32" }), weight).dataSync()]).toEqual([4, 0, 3, rounded]);
    expect(() => embedding(tensor([2], { dtype: "i32" }), weight)).toThrow("every id must be from 0 to 1");
    const x = tensor([[1, 0], [0.5, 1], [0, 2]], { requiresGrad: true });
    const labels = tensor([0, 1, 0], { dtype: "i32" });
    const loss = (w: typeof weight) => linearCrossEntropy(x, w, labels, { chunk: 1 });
    expect(loss(weight).dataSync()).toEqual(loss(cast(weight, { dtype: "f32" })).dataSync());
  });

  it("becomes the value of a frozen parameter, and only of one", async () => {
    const value = tensor([1, third], { dtype: format });
    const parameter = new Parameter(zeros([2]));
    expect(() => parameter.assign(value)).toThrow(PolargradError);
    expect(() => parameter.assign(value)).toThrow(`the parameter requires a gradient, which ${format} cannot have`);
    parameter.requiresGrad = false;
    parameter.assign(value);
    expect([parameter.dtype, ...(await parameter.data())]).toEqual([format, 1, rounded]);
    expect(() => new Parameter(value)).toThrow("can require a gradient");
    expect((await to(parameter, "cpu")).dtype).toBe(format);
  });

  it("leaves no storage behind, decoded or not", () => {
    const live = liveCpuStorages();
    tidy(() => {
      const weight = noGrad(() => cast(randn([8, 4]), { dtype: format }));
      const x = randn([3, 4], { requiresGrad: true });
      linearCrossEntropy(x, weight, tensor([1, 2, 3], { dtype: "i32" }), { chunk: 1 }).backward();
      x.grad?.dispose();
    });
    expect(liveCpuStorages()).toBe(live);
  });
});

describe.each([
  { format: "q8_0", bytes: 34 },
  { format: "q4_0", bytes: 18 },
  { format: "q4_1", bytes: 20 },
] as const)("a tensor in $format", ({ format, bytes }) => {
  const values = Float32Array.from({ length: 128 }, (_, i) => Math.sin(i * i));
  const x = tensor(values, { shape: [2, 64] });

  it("holds blocks of 32 elements, and gives their values as f32", async () => {
    const y = quantize(x, { format });
    expect([y.dtype, y.shape, y.size]).toEqual([format, [2, 64], 128]);
    expect((await y.storage.read()).byteLength).toBe(4 * bytes);
    const data = await y.data();
    expect(data).toBeInstanceOf(Float32Array);
    expect(Math.max(...data.map((value, i) => Math.abs(value - values[i])))).toBeLessThan(format === "q8_0" ? 0.005 : 0.14);
    expect(cast(y, { dtype: "f32" }).dataSync()).toEqual(data);
    expect(norm(y, { axes: 0 }).dataSync()).toEqual(norm(tensor(data as Float32Array, { shape: [2, 64] }), { axes: 0 }).dataSync());
  });

  it("is made from f64 and from other formats too", () => {
    const plain = quantize(x, { format }).dataSync();
    expect(quantize(cast(x, { dtype: "f64" }), { format }).dataSync()).toEqual(plain);
    const rounded = cast(x, { dtype: "bf16" });
    expect(quantize(rounded, { format }).dataSync()).toEqual(quantize(cast(rounded), { format }).dataSync());
  });

  it("is a matter of quantize alone, and of whole blocks of finite numbers", () => {
    const advice = `use quantize(x, { format: "${format}" })`;
    expect(() => cast(x, { dtype: format })).toThrow(advice);
    expect(() => tensor([1], { dtype: format })).toThrow(advice);
    expect(() => zeros([32], { dtype: format })).toThrow(advice);
    expect(() => quantize(zeros([32, 2]), { format })).toThrow("quantize: x must be of a last axis that is a multiple of 32, got 32×2");
    expect(() => quantize(tensor(1), { format })).toThrow("got scalar");
    expect(() => quantize(tensor(new Float32Array(32).fill(Number.NaN)), { format })).toThrow("quantize: x must be of finite values");
    expect(() => quantize(x, { format: "q5_0" as "q4_0" })).toThrow('quantize: format must be "q8_0", "q4_0" or "q4_1", got "q5_0"');
    expect(() => quantize(zeros([32], { requiresGrad: true }), { format })).toThrow(GraphError);
    expect(quantize(zeros([0, 32]), { format }).size).toBe(0);
  });

  it("serves as a weight, and its rows as vectors", () => {
    const weight = quantize(x, { format });
    const plain = cast(weight);
    const a = randn([3, 64], { requiresGrad: true });
    const run = (w: typeof weight): unknown[] => {
      const y = linear(a, w);
      const [da] = gradients(sum(y), [a]);
      return [y.dataSync(), da.dataSync(), embedding(tensor([1, 0, 1], { dtype: "i32" }), w).dataSync()];
    };
    expect(run(weight)).toEqual(run(plain));
  });
});
