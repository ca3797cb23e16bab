import { describe, expect, it } from "vitest";
import { checkpoint, defineOp, gradients, mul, noGrad, sum, tensor } from "../../src/ops/index.ts";
import { liveCpuStorages } from "../../src/tensor/cpu-storage.ts";
import { getGeneratorState, manualSeed, nextStream, philox } from "../../src/tensor/generator.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { tidy } from "../../src/autograd/index.ts";

const leaf = (values: number[]): Tensor => tensor(values, { dtype: "f64", requiresGrad: true });
const values = (t: Tensor | null): number[] => [...(t?.dataSync() ?? [])];

/** `x` times a random mask, kept in the generator's way: a new stream for each call. */
const mask = defineOp("testMask", "x[*], keep[*] -> y[*]", {
  reference({ x, keep }, y) {
    for (let i = 0; i < y.length; i++) y[i] = x[i] * keep[i];
  },
  vjp: ({ keep }, dy) => ({ x: () => mul(dy, keep), keep: null }),
});
const masks: number[][] = [];
function randomMask(x: Tensor): Tensor {
  const { seed, stream } = nextStream();
  const words = new Uint32Array(4);
  const keep = Float64Array.from({ length: x.size }, (_, i) => {
    philox([i, 0, stream, 0], [seed, 0], words);
    return words[0] & 1;
  });
  masks.push([...keep]);
  return mask(x, tensor(keep));
}

const w = new Parameter(tensor([2, 3], { dtype: "f64" }));
const block = (x: Tensor): Tensor => mul(mul(x, w), mul(x, x));

/** Gradients of Σ f(x) by x and w, plain and checkpointed. */
function both(f: (x: Tensor) => Tensor): { plain: number[][]; checked: number[][] } {
  const [a, b] = [leaf([1, -2]), leaf([1, -2])];
  manualSeed(5);
  const plain = gradients(sum(f(a)), [a, w]).map(values);
  manualSeed(5);
  const checked = gradients(sum(checkpoint(f, b)), [b, w]).map(values);
  return { plain, checked };
}

describe("checkpoint", () => {
  it("gives the gradients of the plain run, of captured parameters too", () => {
    const { plain, checked } = both(block);
    expect(checked).toEqual(plain);
    expect(plain).toEqual([
      [6, 36],
      [1, -8],
    ]);
  });

  it("replays the random ops with the same numbers", () => {
    masks.length = 0;
    const { plain, checked } = both((x) => randomMask(randomMask(block(x))));
    expect(checked).toEqual(plain);
    const [first, second] = masks;
    expect(masks).toEqual([first, second, first, second, first, second]);
  });

  it("leaves the generator where the plain run leaves it", () => {
    manualSeed(9);
    const x = leaf([1, 2]);
    const y = checkpoint((t: Tensor) => randomMask(t), x);
    const after = getGeneratorState();
    nextStream();
    sum(y).backward();
    expect(getGeneratorState()).toEqual({ seed: 9, draws: after.draws + 1 });
  });

  it("nests", () => {
    const nested = (x: Tensor): Tensor => checkpoint((y: Tensor) => block(checkpoint(block, y)), x);
    const { plain, checked } = both(nested);
    const direct = both((x) => block(block(x)));
    expect(plain).toEqual(direct.plain);
    expect(checked).toEqual(direct.plain);
  });

  it("accumulates through backward", () => {
    const x = leaf([1, 2]);
    sum(checkpoint(block, x)).backward();
    sum(checkpoint(block, x)).backward();
    expect(values(x.grad)).toEqual([12, 72]);
    w.grad = null;
  });

  it("differentiates twice", () => {
    const x = leaf([1, -2]);
    const [dx] = gradients(sum(checkpoint(block, x)), [x], { createGraph: true });
    expect(values(gradients(sum(dx), [x])[0])).toEqual([12, -36]);
  });

  it("records nothing under noGrad or for constants", () => {
    expect(noGrad(() => checkpoint(block, leaf([1, 2]))).requiresGrad).toBe(false);
    expect(checkpoint((a: Tensor) => mul(a, a), tensor([1, 2])).requiresGrad).toBe(false);
  });

  it("copes with a function that returns its input", () => {
    const x = leaf([1, 2]);
    sum(checkpoint((a: Tensor) => a, x)).backward();
    expect(values(x.grad)).toEqual([1, 1]);
  });

  it("counts a captured tensor and one computed from it once each", () => {
    const x = leaf([1, 2]);
    const h = mul(x, x);
    sum(checkpoint(() => mul(x, h))).backward();
    expect(values(x.grad)).toEqual([3, 12]);
  });

  it("passes arguments that are no tensors", () => {
    const x = leaf([1, 2]);
    sum(checkpoint((a: Tensor, factor: number) => mul(a, factor), x, 3)).backward();
    expect(values(x.grad)).toEqual([3, 3]);
  });

  it("keeps no intermediate between forward and backward", () => {
    const deep = (x: Tensor): Tensor => {
      let y = x;
      for (let i = 0; i < 50; i++) y = mul(y, w);
      return y;
    };
    const x = leaf([1, 1]);
    tidy(() => {
      const before = liveCpuStorages();
      const y = checkpoint(deep, x);
      expect(liveCpuStorages() - before).toBeLessThanOrEqual(1);
      y.dispose();
      deep(x);
      expect(liveCpuStorages() - before).toBeGreaterThanOrEqual(50);
    });
  });
});
