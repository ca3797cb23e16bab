import { describe, expect, it } from "vitest";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { add, defineOp, enableGrad, grad, isGradEnabled, mul, noGrad, tensor } from "../../src/ops/index.ts";

const x = tensor([1, 2], { requiresGrad: true });
const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

describe("noGrad", () => {
  it("records nothing inside and everything after", () => {
    const inside = noGrad(() => mul(x, x));
    expect(inside.requiresGrad).toBe(false);
    expect(inside.isLeaf).toBe(true);
    expect(mul(x, x).requiresGrad).toBe(true);
  });

  it("nests with enableGrad", () => {
    noGrad(() => {
      expect(enableGrad(() => mul(x, x)).requiresGrad).toBe(true);
      expect(mul(x, x).requiresGrad).toBe(false);
    });
    expect(isGradEnabled()).toBe(true);
  });

  it("stays off until an async function has settled", async () => {
    const result = await noGrad(async () => {
      await later();
      return mul(x, x);
    });
    expect(result.requiresGrad).toBe(false);
    expect(isGradEnabled()).toBe(true);
  });

  it("comes back when two async functions overlap", async () => {
    const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
    const first = noGrad(() => wait(1));
    const second = noGrad(() => wait(10));
    await first;
    expect(isGradEnabled()).toBe(false);
    await second;
    expect(isGradEnabled()).toBe(true);
  });

  it("comes back after an exception, sync and async", async () => {
    const fail = (): never => {
      throw new Error("inside");
    };
    expect(() => noGrad(fail)).toThrow("inside");
    expect(isGradEnabled()).toBe(true);
    await expect(
      noGrad(async () => {
        await later();
        fail();
      }),
    ).rejects.toThrow("inside");
    expect(isGradEnabled()).toBe(true);
  });
});

describe("recording", () => {
  it("needs an input that requires a gradient", () => {
    expect(add(tensor([1]), tensor([2])).isLeaf).toBe(true);
    expect(add(tensor([1]), x).isLeaf).toBe(false);
  });

  it("leaves integer results out", () => {
    const floor = defineOp("floorToInt", "x[*] -> y[*]:i32", {
      reference({ x: values }, y) {
        for (let i = 0; i < y.length; i++) y[i] = Math.floor(values[i]);
      },
    });
    expect(floor(x).requiresGrad).toBe(false);
  });

  it("refuses integers as variables, and a change of an intermediate", () => {
    const ids = tensor([1, 2], { dtype: "i32" });
    expect(() => {
      ids.requiresGrad = true;
    }).toThrow("i32");
    expect(() => {
      mul(x, x).requiresGrad = false;
    }).toThrow("detach");
    expect(() => grad((t: Tensor) => t)(ids)).toThrow("i32");
  });
});
