import { describe, expect, it } from "vitest";
import { expand, gradients, log, mul, reshape, sum, tensor } from "../../src/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

const leaf = (values: number[], shape: number[] = [values.length]): Tensor =>
  tensor(values, { shape, dtype: "f64", requiresGrad: true });
const gradOf = (t: Tensor): number[] => [...(t.grad?.dataSync() ?? [])];
const square = (t: Tensor): Tensor => mul(t, t);

describe("createGraph", () => {
  it("gives the second derivative in closed form", () => {
    // f = Σ x³ w: ∂f/∂x = 3x²w; of Σ(3x²w): by x 6xw, by w 3x².
    const x = leaf([1, 2, -3]);
    const w = leaf([2, 1, 4]);
    const [dx] = gradients(sum(mul(mul(x, square(x)), w)), [x], { createGraph: true });
    expect([...dx.dataSync()]).toEqual([6, 12, 108]);
    const [xx, xw] = gradients(sum(dx), [x, w]);
    expect([...xx.dataSync()]).toEqual([12, 12, -72]);
    expect([...xw.dataSync()]).toEqual([3, 12, 27]);
  });

  it("works through backward: .grad can be differentiated", () => {
    const x = leaf([2]);
    mul(x, square(x)).backward({ createGraph: true });
    const first = x.grad as Tensor;
    expect([...first.dataSync()]).toEqual([12]);
    x.grad = null;
    sum(first).backward();
    expect(gradOf(x)).toEqual([12]);
  });

  it("adds up gradients that can be differentiated", () => {
    const x = leaf([2]);
    for (let i = 0; i < 2; i++) sum(log(x)).backward({ createGraph: true });
    // ∂/∂x (2/x)² = -8/x³
    expect([...gradients(square(x.grad as Tensor), [x])[0].dataSync()]).toEqual([-1]);
  });

  it("passes through broadcasts, views and sums", () => {
    const x = leaf([1, 2], [2, 1]);
    const wide = mul(expand(reshape(x, { shape: [2, 1] }), { shape: [2, 3] }), expand(x, { shape: [2, 3] }));
    const [dx] = gradients(sum(mul(wide, wide)), [x], { createGraph: true });
    expect([...dx.dataSync()]).toEqual([12, 96]);
    expect([...gradients(sum(dx), [x])[0].dataSync()]).toEqual([36, 144]);
  });

  it("does not record the sweep without it", () => {
    const x = leaf([2]);
    const [dx] = gradients(square(x), [x]);
    expect(dx.requiresGrad).toBe(false);
  });
});
