import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { add, mul, sum, tensor } from "../../src/ops/index.ts";
import { record } from "../../src/autograd/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { gradcheck, GradcheckError, gradgradcheck, shapes, tensors } from "../../src/testing/index.ts";

const x = tensor(
  [
    [1, -2, 3],
    [0.5, 4, -1],
  ],
  { dtype: "f64" },
);
const w = tensor([2, -1, 0.25], { dtype: "f64" });
const cube = (t: Tensor): Tensor => mul(t, mul(t, t));

/** `t³` with a gradient that is off by `factor` at element `at`. */
const wrongCube =
  (factor: number, at: number) =>
  (t: Tensor): Tensor => {
    const y = cube(t.detach());
    const slopes = t.dataSync().map((v, i) => 3 * v * v * (i === at ? factor : 1));
    return record("wrongCube", [t], y, (dy) => [mul(dy, tensor(slopes, { shape: t.shape }))]);
  };

describe("gradcheck", () => {
  it("accepts right gradients, of several inputs and outputs", async () => {
    expect(await gradcheck((a: Tensor, b: Tensor) => [mul(a, b), cube(a), sum(b)], [x, w])).toBe(true);
    expect(await gradcheck(cube, [x], { order: 2 })).toBe(true);
    expect(await gradgradcheck((a: Tensor, b: Tensor) => mul(mul(a, a), b), [x, w])).toBe(true);
  });

  it("names the input, the element and both derivatives of a wrong gradient", async () => {
    const error = await gradcheck((_a: Tensor, b: Tensor) => wrongCube(1.5, 1)(b), [x, w]).catch(
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(GradcheckError);
    expect(error).toMatchObject({ input: 1 });
    const { analytic, numeric, message } = error as GradcheckError;
    expect(Math.abs(analytic - numeric)).toBeGreaterThan(0.1);
    expect(message).toContain("input 1");
    expect(message).toContain(String(analytic));
  });

  it("sees an error of 1 % in one element out of six", async () => {
    await expect(gradcheck(wrongCube(1.01, 4), [x])).rejects.toThrow(GradcheckError);
    await expect(gradcheck(wrongCube(1, 4), [x])).resolves.toBe(true);
  });

  it("sees a graph that was cut", async () => {
    await expect(gradcheck((a: Tensor) => mul(a, a.detach()), [x])).rejects.toThrow(GradcheckError);
    await expect(gradcheck((a: Tensor) => a.detach(), [x])).rejects.toThrow(GradcheckError);
  });

  it("sees a wrong second derivative behind a right first one", async () => {
    await expect(gradcheck(wrongCube(1, 0), [x], { order: 2 })).rejects.toThrow(GradcheckError);
  });

  it("passes integers and other values through", async () => {
    const ids = tensor([1, 2, 3], { dtype: "i32" });
    const seen: unknown[] = [];
    await gradcheck(
      (a: Tensor, i: Tensor, text: string) => {
        seen.push(i, text);
        return cube(a);
      },
      [w, ids, "word"],
    );
    expect(new Set(seen)).toEqual(new Set([ids, "word"]));
  });

  it("checks f32 tensors as f64 copies, and asks for a float tensor", async () => {
    const seen = new Set<string>();
    const watched = (a: Tensor): Tensor => {
      seen.add(a.dtype);
      return cube(a);
    };
    expect(await gradcheck(watched, [tensor([1, 2])], { order: 2 })).toBe(true);
    expect([...seen]).toEqual(["f64"]);
    await expect(gradcheck(wrongCube(1.01, 1), [tensor([1, 2])])).rejects.toThrow(GradcheckError);
    await expect(gradcheck(() => w, [3])).rejects.toThrow("at least one f64 tensor");
  });

  it("leaves the inputs as they were", async () => {
    await gradcheck(cube, [x]);
    expect(x.requiresGrad).toBe(false);
    expect(x.grad).toBeNull();
    expect([...x.dataSync()]).toEqual([1, -2, 3, 0.5, 4, -1]);
  });

  it("checks random tensors drawn by the arbitraries", async () => {
    await fc.assert(
      fc.asyncProperty(tensors({ maxRank: 2 }), tensors({ shape: [], dtype: "f64" }), (a, b) =>
        gradcheck((p: Tensor, q: Tensor) => add(mul(p, q), q), [a, b]),
      ),
      { numRuns: 20 },
    );
  });
});

describe("arbitraries", () => {
  it("keeps to the limits", () => {
    fc.assert(
      fc.property(shapes({ minRank: 1, maxRank: 2, minSize: 1, maxSize: 4 }), (shape) => {
        expect(shape.length).toBeGreaterThanOrEqual(1);
        expect(shape.length).toBeLessThanOrEqual(2);
        expect(shape.every((size) => size >= 1 && size <= 4)).toBe(true);
      }),
    );
    fc.assert(
      fc.property(tensors({ dtype: "f32", low: 1, high: 3 }), (t) => {
        expect(t.dtype).toBe("f32");
        expect(t.dataSync().every((v: number) => v >= 1 && v <= 3)).toBe(true);
      }),
    );
    expect(() => tensors({ low: 3, high: 1 })).toThrow("low");
  });
});
