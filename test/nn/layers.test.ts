import { describe, expect, it } from "vitest";
import { Dropout, Embedding, LayerNorm, Linear, RMSNorm } from "../../src/nn/index.ts";
import { ones, tensor } from "../../src/ops/index.ts";
import { manualSeed } from "../../src/tensor/generator.ts";

const values = async (t: { data(): Promise<ArrayLike<number>> }): Promise<number[]> =>
  Array.from(await t.data());

describe("layers", () => {
  it("Linear multiplies by the transposed weight and adds the bias", async () => {
    const layer = new Linear(2, 3);
    layer.weight.assign(
      tensor([
        [1, 0],
        [0, 1],
        [1, 1],
      ]),
    );
    layer.bias?.assign(tensor([10, 20, 30]));
    expect(await values(layer.forward(tensor([[1, 2]])))).toEqual([11, 22, 33]);
    expect(new Linear(2, 3, { bias: false }).bias).toBeNull();
  });

  it("Linear starts uniform in ±1/√in, the same for the same seed", async () => {
    manualSeed(3);
    const a = await values(new Linear(16, 64).weight);
    manualSeed(3);
    const b = await values(new Linear(16, 64).weight);
    expect(a).toEqual(b);
    expect(Math.max(...a.map(Math.abs))).toBeLessThanOrEqual(0.25);
    expect(Math.max(...a)).toBeGreaterThan(0.24);
    expect(Math.min(...a)).toBeLessThan(-0.24);
  });

  it("Embedding looks rows up", async () => {
    const layer = new Embedding(3, 2);
    layer.weight.assign(
      tensor([
        [0, 1],
        [2, 3],
        [4, 5],
      ]),
    );
    expect(await values(layer.forward(tensor([2, 0], { dtype: "i32" })))).toEqual([4, 5, 0, 1]);
  });

  it("norms start as plain normalisation", async () => {
    const [a, b] = await values(new RMSNorm(2, { eps: 1e-12 }).forward(tensor([3, 4])));
    expect(a).toBeCloseTo(3 / Math.sqrt(12.5), 6);
    expect(b).toBeCloseTo(4 / Math.sqrt(12.5), 6);
    const [c, d] = await values(new LayerNorm(2, { eps: 1e-12 }).forward(tensor([3, 5])));
    expect(c).toBeCloseTo(-1, 5);
    expect(d).toBeCloseTo(1, 5);
  });

  it("Dropout drops in training mode only, another mask each time", async () => {
    const layer = new Dropout(0.5);
    const x = ones([1000]);
    const [a, b] = [await values(layer.forward(x)), await values(layer.forward(x))];
    expect(new Set(a)).toEqual(new Set([0, 2]));
    expect(a).not.toEqual(b);
    expect(Math.abs(a.filter((v) => v === 0).length - 500)).toBeLessThan(80);
    expect(layer.eval().forward(x)).toBe(x);
    expect(() => new Dropout(1.5)).toThrow("Dropout: p must be from 0 to 1, got 1.5");
  });
});
