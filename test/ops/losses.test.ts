import { describe, expect, it } from "vitest";
import {
  crossEntropy,
  gradients,
  linear,
  linearCrossEntropy,
  slice,
  sum,
  tensor,
  tidy,
} from "../../src/ops/index.ts";
import { liveCpuStorages } from "../../src/tensor/cpu-storage.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { distance, ids, leaf, normal, values } from "./tensors.ts";

const crossEntropyOf = (x: Tensor, labels: Tensor, reduction: "mean" | "sum"): Tensor =>
  crossEntropy(x, labels, { reduction });
const eye = (): Tensor =>
  tensor([
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ]);
const linearCrossEntropyOf = (x: Tensor, labels: Tensor, reduction: "mean" | "sum"): Tensor =>
  linearCrossEntropy(x, eye(), labels, { reduction, chunk: 2 });

describe("crossEntropy", () => {
  const logits = (): Tensor =>
    leaf(
      tensor([
        [1, 2, 3],
        [0, 0, 0],
        [5, 1, 1],
      ]),
    );
  const losses = [Math.log(Math.exp(-2) + Math.exp(-1) + 1) + 2, Math.log(3), Math.log(1 + 2 * Math.exp(-4))];

  it("averages over the labels that are not ignored", async () => {
    const x = logits();
    const loss = crossEntropy(x, ids([0, -100, 0]));
    expect(await loss.item()).toBeCloseTo((losses[0] + losses[2]) / 2, 6);
    const [dx] = gradients(loss, [x]);
    const row = values(slice(dx, { axis: 0, start: 1, end: 2 }));
    expect(row).toEqual([0, 0, 0]);
    expect(values(sum(dx, { axes: 1 })).every((total) => Math.abs(total) < 1e-6)).toBe(true);
  });

  it("sum and none", async () => {
    const labels = ids([0, 1, 0]);
    expect(await crossEntropy(logits(), labels, { reduction: "sum" }).item()).toBeCloseTo(
      losses[0] + losses[1] + losses[2],
      5,
    );
    const each = values(crossEntropy(logits(), labels, { reduction: "none", ignoreIndex: 1 }));
    expect(each[0]).toBeCloseTo(losses[0], 6);
    expect(each[1]).toBe(0);
  });

  it.each([crossEntropyOf, linearCrossEntropyOf])(
    "all ignored: NaN for the mean, 0 for the sum (%#)",
    async (loss) => {
      const labels = ids([-100, -100, -100]);
      expect(await loss(logits(), labels, "mean").item()).toBeNaN();
      expect(await loss(logits(), labels, "sum").item()).toBe(0);
      const x = logits();
      expect(values(gradients(loss(x, labels, "sum"), [x])[0]).every((value) => value === 0)).toBe(true);
    },
  );

  it.each([crossEntropyOf, linearCrossEntropyOf])("names a label that is out of range (%#)", (loss) => {
    expect(() => loss(logits(), ids([0, 3, 0]), "mean")).toThrow(
      "every label must be from 0 to 2 or ignoreIndex (-100), got 3 at position 1",
    );
  });

  it("refuses an unknown reduction", () => {
    expect(() => crossEntropy(logits(), ids([0, 1, 2]), { reduction: "avg" as "mean" })).toThrow(
      'reduction is "avg"',
    );
  });
});

describe("linearCrossEntropy", () => {
  const [N, D, V] = [11, 6, 9];
  const labels = ids(Array.from({ length: N }, (_, i) => (i % 4 === 3 ? -100 : (5 * i) % V)));

  it.each([1, 2, 3, 11, 256])(
    "in chunks of %i rows it is crossEntropy of linear, with its gradients",
    (chunk) => {
      const [x, weight] = [normal(N, D), normal(V, D)];
      for (const reduction of ["mean", "sum"] as const) {
        const whole = crossEntropy(linear(x, weight), labels, { reduction });
        const chunked = linearCrossEntropy(x, weight, labels, { reduction, chunk });
        expect(distance(chunked, whole)).toBeLessThan(1e-4);
        const [a, b] = [whole, chunked].map((loss) => gradients(loss, [x, weight]));
        for (const [i, gradient] of a.entries()) expect(distance(gradient, b[i])).toBeLessThan(1e-5);
      }
    },
  );

  it("leaves nothing behind", () => {
    const [x, weight] = [normal(N, D), normal(V, D)];
    const step = (): void =>
      tidy(() => void gradients(linearCrossEntropy(x, weight, labels, { chunk: 2 }), [x, weight]));
    step();
    const before = liveCpuStorages();
    step();
    expect(liveCpuStorages()).toBe(before);
  });

  it("refuses a chunk of no rows", () => {
    expect(() => linearCrossEntropy(normal(2, 3), normal(4, 3), ids([0, 1]), { chunk: 0 })).toThrow(
      "chunk is 0, not a number of rows",
    );
  });
});
