import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GpuMemoryError } from "../../src/gpu/errors.ts";
import { cast, closeDevice, currentGpu, embedding, linear, linearCrossEntropy, noGrad, quantize, randn, tensor, tidy, to } from "../../src/ops/index.ts";
import { fromArray } from "../../src/ops/device.ts";
import { openDevice } from "../../src/ops/init.ts";
import { decode, encode } from "../../src/tensor/stored-format.ts";
import { useTestDriver } from "../driver.ts";

beforeAll(async () => {
  useTestDriver();
  await openDevice("webgpu");
});
afterAll(closeDevice);

const ALL = Uint16Array.from({ length: 0x10000 }, (_, half) => half);
const wordsOf = (values: ArrayLike<number>): Uint32Array => new Uint32Array((values as Float32Array).buffer);

/** f32 bits that matter: every exponent with mantissas around the ties of both formats, and with both signs. */
function edgeWords(): Uint32Array {
  const words: number[] = [];
  for (let exponent = 0; exponent < 256; exponent++) {
    for (const mantissa of [0, 1, 0xfff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x7fff, 0x8000, 0x8001, 0x18000, 0x7fe000, 0x7ff000, 0x7fffff]) {
      for (const sign of [0, 0x80000000]) words.push(sign + exponent * 0x800000 + mantissa);
    }
  }
  return Uint32Array.from(words);
}

it.each(["f16", "bf16", "q8_0", "q4_0", "q4_1"] as const)("no product makes room for %s decoded", async (format) => {
  const gpu = currentGpu();
  if (!gpu) throw new Error("no GPU");
  const plain = randn([512, 512], { device: "cpu" });
  const isBlock = format !== "f16" && format !== "bf16";
  const weight = await to(isBlock ? quantize(plain, { format }) : cast(plain, { dtype: format }), "webgpu");
  const x = randn([2, 512], { device: "webgpu", requiresGrad: true });
  const labels = tensor([1, 2], { dtype: "i32", device: "webgpu" });
  const { ledger } = gpu;
  const { budget } = ledger;
  ledger.budget = ledger.live + 2 ** 18;
  try {
    expect(() => cast(weight, { dtype: "f32" })).toThrow(GpuMemoryError);
    const y = tidy(() => linear(x, weight));
    y.backward({ gradient: y.detach() });
    tidy(() => linearCrossEntropy(x, weight, labels, { chunk: 1 })).backward();
    expect((await x.grad?.data())?.every(Number.isFinite)).toBe(true);
  } finally {
    ledger.budget = budget;
  }
});

describe.each(["q8_0", "q4_0", "q4_1"] as const)("%s on the GPU", (format) => {
  it("is decoded to the values that the CPU gives, and moves bit for bit", async () => {
    for (const rows of [1, 3, 40]) {
      const size = 2 ** (rows - 40);
      const values = Float32Array.from({ length: rows * 96 }, (_, i) => size * Math.sin(i * i) * (1 + i));
      const onCpu = quantize(tensor(values, { shape: [rows, 96], device: "cpu" }), { format });
      const x = await to(onCpu, "webgpu");
      expect(await x.storage.read()).toEqual(await onCpu.storage.read());
      expect([...(await cast(x, { dtype: "f32" }).data())]).toEqual([...onCpu.dataSync()]);
      const ids = tensor([rows - 1, 0], { dtype: "i32", device: "webgpu" });
      const [last, first] = [onCpu.dataSync().slice(-96), onCpu.dataSync().slice(0, 96)];
      expect([...(await embedding(ids, x).data())]).toEqual([...last, ...first]);
      expect(() => quantize(x, { format })).toThrow("quantize: x must be on the CPU, got webgpu");
    }
  });
});

describe.each(["f16", "bf16"] as const)("%s on the GPU", (format) => {
  it("is decoded to the bits that the CPU gives: all 65536 patterns", async () => {
    const x = fromArray(ALL.slice(), [65536], format, "webgpu");
    expect(await x.storage.read()).toEqual(ALL);
    const decoded = cast(x, { dtype: "f32" });
    expect(wordsOf(await decoded.data())).toEqual(wordsOf(decode(format, ALL)));
  });

  it("is rounded to the bits that the CPU gives", async () => {
    const words = edgeWords();
    const x = fromArray(new Float32Array(words.buffer), [words.length], "f32", "webgpu");
    const expected = encode(format, new Float32Array(words.buffer));
    expect(await cast(x, { dtype: format }).storage.read()).toEqual(expected);
  });

  it("takes half the bytes, with an odd number of elements too", async () => {
    const live = (): number => currentGpu()?.pool.counts.live ?? 0;
    const values = randn([3, 5], { device: "cpu" });
    const before = live();
    const x = await to(noGrad(() => cast(values, { dtype: format })), "webgpu");
    expect((x.storage as unknown as { buffer: { bytes: number } }).buffer.bytes).toBe(30);
    expect(live()).toBe(before + 1);
    const onGpu = cast(await to(values, "webgpu"), { dtype: format });
    expect(await onGpu.data()).toEqual(await x.data());
    expect(await (await to(x, "cpu")).storage.read()).toEqual(await x.storage.read());
  });

  it("gives NaN for the rows of unknown ids", async () => {
    const weight = tensor([[1, 2], [3, 4]], { dtype: format, device: "webgpu" });
    const ids = tensor([1, 2, -1], { dtype: "i32", device: "webgpu" });
    const nan = Number.NaN;
    expect([...(await embedding(ids, weight).data())]).toEqual([3, 4, nan, nan, nan, nan]);
  });
});
