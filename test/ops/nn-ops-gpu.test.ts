import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  crossEntropy,
  currentGpu,
  embedding,
  gather,
  gradients,
  linear,
  linearCrossEntropy,
  norm,
  randn,
  tensor,
} from "../../src/ops/index.ts";
import { closeDevice, openDevice } from "../../src/ops/init.ts";
import { rowPlan, type RowKernel } from "../../src/ops/row-kernel.ts";
import { GpuStorage } from "../../src/gpu/gpu-storage.ts";
import { useTestDriver } from "../driver.ts";

const onGpu = { device: "webgpu" } as const;
const ids = (data: number[]) => tensor(data, { dtype: "i32", ...onGpu });

beforeAll(async () => {
  useTestDriver();
  await openDevice("webgpu");
});
afterAll(closeDevice);

describe("what the CPU refuses is NaN on the GPU", () => {
  it("an id, an index, a label that is out of range", async () => {
    const weight = tensor(
      [
        [1, 2],
        [3, 4],
      ],
      onGpu,
    );
    const bad = Number.NaN;
    expect([...(await embedding(ids([1, 2, -1]), weight).data())]).toEqual([3, 4, bad, bad, bad, bad]);
    expect([...(await gather(tensor([5, 6], onGpu), ids([1, 2, -1])).data())]).toEqual([6, bad, bad]);
    const labels = ids([-100, 2]);
    expect([...(await crossEntropy(weight, labels, { reduction: "none" }).data())]).toEqual([0, bad]);
    expect(await crossEntropy(weight, labels).item()).toBeNaN();
  });
});

it("norm has the subgradient 0 at the zero vector", async () => {
  const x = tensor(
    [
      [0, 0],
      [3, 4],
    ],
    { requiresGrad: true, ...onGpu },
  );
  const [dx] = gradients(norm(x, { axes: 1 }), [x], { gradient: tensor([1, 1], onGpu) });
  expect([...(await dx.data())]).toEqual([0, 0, 3 / 5, 4 / 5].map(Math.fround));
});

it("all labels ignored: NaN for the mean, 0 for the sum", async () => {
  const logits = randn([2, 3], onGpu);
  expect(await crossEntropy(logits, ids([-100, -100])).item()).toBeNaN();
  expect(await crossEntropy(logits, ids([-100, -100]), { reduction: "sum" }).item()).toBe(0);
});

it("linearCrossEntropy in chunks is crossEntropy of linear, with its gradients", async () => {
  const x = Object.assign(randn([7, 5], onGpu), { requiresGrad: true });
  const weight = Object.assign(randn([9, 5], onGpu), { requiresGrad: true });
  const labels = ids([0, 8, -100, 3, 3, 1, 2]);
  const losses = [
    crossEntropy(linear(x, weight), labels),
    linearCrossEntropy(x, weight, labels, { chunk: 2 }),
  ];
  const [a, b] = losses.map((loss) => gradients(loss, [x, weight], { retainGraph: true }));
  expect(await losses[1].item()).toBeCloseTo(await losses[0].item(), 5);
  for (const [i, gradient] of a.entries()) {
    const other = await b[i].data();
    for (const [k, value] of (await gradient.data()).entries()) expect(value).toBeCloseTo(other[k], 5);
  }
});

describe("row kernels", () => {
  const kernel: RowKernel = {
    label: "test of rows",
    buffers: [
      { name: "x", per: "matrix" },
      { name: "y", per: "matrix" },
    ],
    walks: [
      [{ name: "top", combine: "max", each: "x" }],
      [{ name: "total", combine: "sum", each: "x - top" }],
    ],
    result: "x + total * dims.eps",
  };

  it.each([true, false])("reduce rows of any length, with subgroups: %s", async (subgroups) => {
    const gpu = currentGpu();
    if (!gpu) throw new Error("no GPU is open");
    for (const d of [1, 7, 64, 130]) {
      const rows = 5;
      const x = Float32Array.from({ length: rows * d }, (_, i) => (37 * i) % 11);
      const [from, to] = [
        GpuStorage.upload(gpu, "f32", x),
        GpuStorage.upload(gpu, "f32", new Float32Array(rows * d)),
      ];
      const profile = { ...gpu.profile, subgroups: subgroups && gpu.profile.features.subgroups };
      const { kernel: source, params, grid } = rowPlan(profile, kernel, rows, d, { eps: 0.5 });
      gpu.stream.dispatch(source, [from.buffer, to.buffer], params, grid);
      const expected = x.map((value, i) => {
        const row = x.subarray(i - (i % d), i - (i % d) + d);
        const top = row.reduce((a, b) => Math.max(a, b));
        return value + 0.5 * row.reduce((total, other) => total + other - top, 0);
      });
      expect(await to.read()).toEqual(expected);
      from.release();
      to.release();
    }
  });
});
