import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  adamwUpdate,
  cast,
  dropout,
  ema,
  emaSquare,
  equal,
  expand,
  less,
  matmul,
  mean,
  mul,
  norm,
  ones,
  rand,
  sin,
  sum,
  tanh,
  tensor,
  tidy,
  where,
} from "../../src/ops/index.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { GpuMemoryError } from "../../src/gpu/errors.ts";
import { closeDevice, currentGpu, openDevice } from "../../src/ops/init.ts";
import { to } from "../../src/ops/to.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { useTestDriver } from "../driver.ts";
import { checkSpecialCase, SPECIAL_CASES } from "./special-values.ts";

const gpu = { device: "webgpu" } as const;

beforeAll(async () => {
  useTestDriver();
  await openDevice("webgpu");
});
afterAll(closeDevice);

describe("special values on the GPU are PyTorch's", () => {
  it.each(SPECIAL_CASES.map((row) => ({ name: row.name, row })))("$name", ({ row }) =>
    checkSpecialCase(row, gpu),
  );
});

describe("dropout on the GPU", () => {
  it.each([
    [0.5, 0, 0, 1003],
    [0.1, 0xffffffff, 0xfffffffe, 4096],
    [0.9, 123456789, 77, 70_001],
    [1, 1, 2, 5],
  ])("draws the CPU's mask bit for bit (p %f, seed %i, stream %i)", async (p, seed, stream, length) => {
    const x = rand([length], { low: 0.5, device: "cpu" });
    const onCpu = await dropout(x, { p, seed, stream }).data();
    const onGpu = await dropout(await to(x, "webgpu"), { p, seed, stream }).data();
    expect([...onGpu].findIndex((value, i) => (value === 0) !== (onCpu[i] === 0))).toBe(-1);
    expect([...onGpu].every((value, i) => Math.abs(value - onCpu[i]) <= 2 ** -22 * Math.abs(onCpu[i]))).toBe(
      true,
    );
  });
});

describe("integers and bool on the GPU", () => {
  it("cast", async () => {
    const x = tensor([1.9, -1.9, -0, Number.NaN, 3e9, -3e9, Number.POSITIVE_INFINITY, 0.5], gpu);
    expect([...(await cast(x, { dtype: "i32" }).data())]).toEqual([
      1, -1, 0, 0, 2147483647, -2147483648, 2147483647, 0,
    ]);
    expect([...(await cast(x, { dtype: "bool" }).data())]).toEqual([1, 1, 0, 1, 1, 1, 1, 1]);
    const ids = tensor([0, -2147483648, 16777217], { ...gpu, dtype: "i32" });
    expect([...(await cast(ids, { dtype: "bool" }).data())]).toEqual([0, 1, 1]);
    expect([...(await cast(ids).data())]).toEqual([0, -2147483648, 16777217]);
    expect([...(await cast(ids, { dtype: "f32" }).data())]).toEqual([0, -2147483648, 16777216]);
    expect(Number.isNaN((await cast(x, { dtype: "f32" }).data())[3])).toBe(true);
    expect(() => cast(x, { dtype: "f64" })).toThrow(
      "cast: the result must be f32, i32 or bool on webgpu, got f64; f64 exists on the CPU only",
    );
  });
  it("compare and where", async () => {
    const ids = tensor([16777216, 16777217, -2147483648, 2147483647], { ...gpu, dtype: "i32" });
    expect([...(await equal(ids, 16777217).data())]).toEqual([0, 1, 0, 0]);
    expect([...(await less(ids, 0).data())]).toEqual([0, 0, 1, 0]);
    expect([...(await where(less(ids, 0), -100, ids).data())]).toEqual([
      16777216, 16777217, -100, 2147483647,
    ]);
  });
});

describe("precision on the GPU", () => {
  it("sine up to 8000 radians and tanh near 0", async () => {
    const at = Float32Array.from({ length: 999 }, (_, i) => -8000 + i * 16.03);
    const y = await sin(tensor(at, gpu)).data();
    for (const [i, x] of at.entries()) expect(Math.abs(y[i] - Math.sin(x))).toBeLessThan(2e-7);
    const small = Float32Array.from({ length: 99 }, (_, i) => 10 ** (-i / 10));
    const z = await tanh(tensor(small, gpu)).data();
    for (const [i, x] of small.entries()) expect(Math.abs(z[i] / Math.tanh(x) - 1)).toBeLessThan(3e-7);
  });
  it("moments and AdamW lose nothing to 1 - beta", async () => {
    const one = ones([4], gpu);
    const zero = tensor([0, 0, 0, 0], gpu);
    expect(Math.abs((await ema(zero, one, { beta: 0.999 }).data())[0] / 0.001 - 1)).toBeLessThan(1e-7);
    expect(Math.abs((await emaSquare(zero, one, { beta: 0.9999 }).data())[0] / 0.0001 - 1)).toBeLessThan(
      1e-7,
    );
    const attrs = { lr: 1e-3, eps: 1e-8, decay: 0.01, correction1: 0.1, correction2: 0.001 };
    const [p, m, v] = [
      [2, -1, 0.5, 3],
      [0.03, -0.2, 0.001, 0],
      [9e-7, 4e-5, 1e-9, 0],
    ];
    const y = await adamwUpdate(tensor(p, gpu), tensor(m, gpu), tensor(v, gpu), attrs).data();
    y.forEach((value: number, i: number) => {
      const exact =
        p[i] * (1 - attrs.lr * attrs.decay) -
        (attrs.lr * (m[i] / 0.1)) / (Math.sqrt(v[i] / 0.001) + attrs.eps);
      expect(Math.abs(value / exact - 1)).toBeLessThan(2.5e-7);
    });
  });
});

describe("large tensors on the GPU", () => {
  it("keep the small terms of a long sum", async () => {
    const x = ones([2 ** 22], gpu);
    expect(await mean(mul(x, 0.1)).item()).toBeCloseTo(0.1, 4);
    expect((await norm(mul(x, 0.1)).item()) / 204.8).toBeCloseTo(1, 3);
  });

  it("reach beyond 65535 workgroups", async () => {
    const rows = 65536 * 64 + 3;
    const y = sum(expand(tensor([1, 2], { shape: [1, 2], ...gpu }), { shape: [rows, 2] }), { axes: 1 });
    expect((await y.data()).every((value) => value === 3)).toBe(true);
  });

  it("name the limit where they do not fit", () => {
    const limit = currentGpu()?.profile.limits.maxStorageBufferBindingSize ?? 0;
    expect(() => expand(ones([1], gpu), { shape: [limit / 4 + 1] })).toThrow(/expand: \d+ is over .*maxStorageBufferBindingSize/);
  });
});

describe("a tensor of a closed GPU", () => {
  it("is refused by name and leaves the open one healthy", async () => {
    const old = ones([4], gpu);
    await closeDevice();
    await openDevice("webgpu");
    expect(() => mul(old, ones([4], gpu))).toThrow("what its buffers held is gone");
    expect(await sum(ones([4], gpu)).item()).toBe(4);
  });
});

describe("a step that runs out of GPU memory", () => {
  it("leaves nothing behind, at whichever allocation it fails", async () => {
    const x = Object.assign(ones([64, 64], gpu), { requiresGrad: true });
    const { pool, ledger } = currentGpu() as Gpu;
    const step = (): void => tidy(() => sum(tanh(mul(matmul(x, x), ones([64, 1], gpu)))).backward());
    step();
    x.grad?.dispose();
    const { live } = pool.counts;
    const { budget } = ledger;
    let refused = 0;
    for (let room = 0; room < 300_000; room += 16_384) {
      pool.trim();
      x.grad = null;
      ledger.budget = ledger.live + room;
      try {
        step();
      } catch (error) {
        expect(error).toBeInstanceOf(GpuMemoryError);
        refused++;
      }
      (x.grad as Tensor | null)?.dispose();
      expect(pool.counts.live).toBe(live);
    }
    ledger.budget = budget;
    expect(refused).toBeGreaterThan(3);
    x.grad = null;
    step();
    expect((await (x.grad as unknown as Tensor).data()).length).toBe(4096);
  });
});
