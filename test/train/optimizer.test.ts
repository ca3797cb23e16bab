import { describe, expect, it } from "vitest";
import { mul, sum, tensor } from "../../src/index.ts";
import { liveCpuStorages } from "../../src/tensor/cpu-storage.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { AdamW, clipGradNorm } from "../../src/train/index.ts";

const parameter = (values: number[]): Parameter => new Parameter(tensor(values, { dtype: "f64" }));

/** AdamW by the book, in scalars. */
function expected(p: number, gradients: number[], lr: number, decay: number): number {
  let m = 0;
  let v = 0;
  gradients.forEach((g, i) => {
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    p = p * (1 - lr * decay) - (lr * (m / (1 - 0.9 ** (i + 1)))) / (Math.sqrt(v / (1 - 0.999 ** (i + 1))) + 1e-8);
  });
  return p;
}

describe("AdamW", () => {
  it("takes PyTorch's steps, and skips what has no gradient", async () => {
    const p = parameter([2, -1]);
    const idle = parameter([5]);
    const optimizer = new AdamW([p, idle], { lr: 0.1, weightDecay: 0.5 });
    const seen: number[][] = [[], []];
    for (let step = 0; step < 4; step++) {
      const before = await p.data();
      for (const [i, value] of before.entries()) seen[i].push(2 * value);
      sum(mul(p, p)).backward();
      optimizer.step();
      optimizer.zeroGrad();
    }
    const after = await p.data();
    expect(after[0]).toBeCloseTo(expected(2, seen[0], 0.1, 0.5), 12);
    expect(after[1]).toBeCloseTo(expected(-1, seen[1], 0.1, 0.5), 12);
    expect(await idle.item()).toBe(5);
  });

  it("refuses an empty list, plain tensors and settings out of range", () => {
    expect(() => new AdamW([])).toThrow("the parameter list is empty");
    expect(() => new AdamW([tensor([1])])).toThrow("updates Parameters only");
    expect(() => new AdamW([parameter([1])], { lr: -1 })).toThrow("lr must be at least 0, got -1");
    expect(() => new AdamW([parameter([1])], { betas: [0.9, 1] })).toThrow("betas[1] must be in [0, 1), got 1");
    const typo = { weight_decay: 0.1 } as object;
    expect(() => new AdamW([parameter([1])], typo)).toThrow('AdamW got an unexpected option "weight_decay"');
    expect(() => new AdamW([{ params: [parameter([1])], ...typo }])).toThrow('group got an unexpected option "weight_decay"');
    const twice = parameter([1]);
    expect(() => new AdamW([twice, twice])).toThrow("a parameter was given twice");
    expect(() => new AdamW([{ params: [twice] }, { params: [twice] }])).toThrow("a parameter was given twice");
  });

  it("holds a constant number of tensors", () => {
    const p = parameter([1, 2]);
    const optimizer = new AdamW([p]);
    const step = (): number => {
      const loss = sum(mul(p, p), {});
      loss.backward();
      optimizer.step();
      optimizer.zeroGrad();
      return liveCpuStorages();
    };
    step();
    const perStep = step() - step();
    expect(Math.abs(perStep)).toBeLessThanOrEqual(2);
  });
});

describe("clipGradNorm", () => {
  const withGradients = (): Parameter[] => {
    const p = parameter([3]);
    const q = parameter([2]);
    sum(mul(p, 3)).backward();
    sum(mul(q, 4)).backward();
    return [p, q, parameter([1])];
  };

  it("scales by maxNorm / (norm + 1e-6) and returns the norm before", async () => {
    const params = withGradients();
    expect(await clipGradNorm(params, 1)).toBeCloseTo(5, 12);
    expect(await params[0].grad?.item()).toBeCloseTo(3 / 5.000001, 12);
    expect(await params[1].grad?.item()).toBeCloseTo(4 / 5.000001, 12);
  });

  it("leaves small gradients alone", async () => {
    const params = withGradients();
    expect(await clipGradNorm(params, 10)).toBeCloseTo(5, 12);
    expect(await params[0].grad?.item()).toBe(3);
  });

  it("is 0 without gradients, and refuses a negative bound", async () => {
    expect(await clipGradNorm([parameter([1])], 1)).toBe(0);
    await expect(clipGradNorm([], -1)).rejects.toThrow("at least 0, got -1");
  });
});
