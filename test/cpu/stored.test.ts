import { describe, expect, it } from "vitest";
import { gemm } from "../../src/cpu/gemm.ts";
import { decodeStored, gemmStored, linearFewRows, type Packed, type Weight } from "../../src/cpu/stored.ts";
import { cpuKernels } from "../../src/cpu/launch.ts";
import { quantizeBlocks } from "../../src/tensor/blocks.ts";
import { bytesPerElement, isHalf, type StoredFormat } from "../../src/tensor/dtype.ts";
import { isInHeap, sharedHeap } from "../../src/tensor/heap.ts";
import { PackedStorage } from "../../src/tensor/packed-storage.ts";
import { decode, decodeInto, encode } from "../../src/tensor/stored-format.ts";

const FORMATS = ["f16", "bf16", "q8_0", "q4_0", "q4_1"] as const satisfies readonly StoredFormat[];
const hasKernels = cpuKernels().variant !== "off";
if (!hasKernels) console.warn("not run: products of stored weights need the WebAssembly kernels, which are off");

const values = (length: number, seed: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => ((i * 0.6180339887 + seed * 0.37) % 1) - 0.5);

/** Elements with every byte, and (of 16 bits) every pattern: subnormals, infinities and NaNs too. */
function everything(format: StoredFormat): Packed {
  if (isHalf(format)) return { format, data: Uint16Array.from({ length: 0x10000 }, (_, i) => i) };
  const length = 32 * 4099;
  const data = new Uint8Array(length * bytesPerElement(format));
  const scales = new Uint16Array(data.buffer, format === "q8_0" ? length : length / 2);
  for (let i = 0; i < data.length; i++) data[i] = (i * 37 + (i >> 8)) & 255;
  // Finite ones of both signs, subnormals and zeros among them.
  for (let i = 0; i < scales.length; i++) scales[i] = ((i * 1753) & 0xbbff) % 0xfc00;
  return { format, data };
}

function pack(format: StoredFormat, plain: Float32Array): Packed {
  const data = isHalf(format) ? encode(format, plain) : quantizeBlocks(format, plain);
  if (!data) throw new Error("not finite");
  return { format, data };
}

const wordsOf = ({ buffer, byteOffset, length }: Float32Array): Uint32Array => new Uint32Array(buffer, byteOffset, length);

describe.each(FORMATS)("%s", (format) => {
  it("is decoded to the bits that plain loops give, from any start, on all threads", () => {
    const packed = everything(format);
    const count = packed.data.byteLength / bytesPerElement(format);
    const parts = isHalf(format) ? [[0, count], [3, 20_001], [5, 257], [8, 7]] : [[0, count], [64, 32 * 300], [32, 32]];
    for (const [first, length] of parts) {
      const [expected, actual] = [new Float32Array(length), new Float32Array(length).fill(7)];
      decodeInto(format, packed.data, expected, first);
      decodeStored(packed, actual, first);
      expect(wordsOf(actual)).toEqual(wordsOf(expected));
    }
  });

  it.skipIf(!hasKernels)("is multiplied with few rows as what it decodes to, bit for bit, close to f64", () => {
    for (const [rows, m, k] of [[1, 5, 32], [2, 1, 64], [3, 7, 96], [4, 33, 128], [5, 600, 64], [8, 3, 256]]) {
      const weight = pack(format, values(m * k, rows));
      const plain = decode(format, weight.data);
      const x = values(rows * k, 9);
      const product = (of: Weight): Float32Array => {
        const y = new Float32Array(rows * m).fill(Number.NaN);
        expect(linearFewRows(x, of, y, { rows, m, k })).toBe(true);
        return y;
      };
      const y = product(weight);
      expect(wordsOf(y)).toEqual(wordsOf(product({ format: "f32", data: plain })));
      for (let i = 0; i < y.length; i++) {
        const [row, column] = [Math.floor(i / m), i % m];
        let [sum, size] = [0, 0];
        for (let q = 0; q < k; q++) {
          const term = x[row * k + q] * plain[column * k + q];
          sum += term;
          size += Math.abs(term);
        }
        expect(Math.abs(y[i] - sum)).toBeLessThanOrEqual(k * 2 ** -24 * size);
      }
    }
  });

  it.skipIf(!hasKernels)("is multiplied with many rows as what it decodes to, bit for bit, in several parts", () => {
    for (const [m, n, k] of [[9, 64, 96], [50, 544, 640], [17, 32, 4128], [9, 544, 4128], [9, 4128, 544]]) {
      const weight = pack(format, values(n * k, m));
      const plain = decode(format, weight.data);
      for (const [mode, depth, columns] of [["NT", k, n], ["NN", n, k]] as const) {
        const a = values(m * depth, 4);
        const [expected, actual] = [new Float32Array(m * columns), new Float32Array(m * columns)];
        gemm(mode, m, columns, depth, a, plain, expected);
        expect(gemmStored(mode, m, columns, depth, a, weight, actual)).toBe(true);
        expect(wordsOf(actual)).toEqual(wordsOf(expected));
      }
    }
  });

  it.skipIf(!hasKernels)("passes on what is not finite", () => {
    if (!isHalf(format)) return;
    const weight: Packed = { format, data: encode(format, Float32Array.from({ length: 16 }, (_, i) => (i === 5 ? Number.POSITIVE_INFINITY : i === 9 ? Number.NaN : 1))) };
    const y = new Float32Array(2);
    linearFewRows(new Float32Array(8).fill(-1), weight, y, { rows: 1, m: 2, k: 8 });
    expect([...y]).toEqual([Number.NEGATIVE_INFINITY, Number.NaN]);
  });

  it("moves to the heap when it is kept, and back when it is let go", () => {
    const { data } = pack(format, values(320, 1));
    const storage = new PackedStorage(format, data.slice());
    expect(isInHeap(storage.data)).toBe(false);
    storage.settle();
    storage.settle();
    expect(isInHeap(storage.data)).toBe(sharedHeap()?.shared);
    expect(storage.data).toEqual(data);
    const { byteOffset } = storage.data;
    storage.release();
    const next = new PackedStorage(format, data.slice());
    next.settle();
    expect(next.data.byteOffset).toBe(byteOffset);
    next.release();
  });
});

it("rows that are no whole steps, many rows and empty ones are left to the product", () => {
  const weight = pack("bf16", values(60, 1));
  expect(linearFewRows(values(12, 2), weight, new Float32Array(5), { rows: 1, m: 5, k: 12 })).toBe(false);
  expect(linearFewRows(values(80, 2), weight, new Float32Array(20), { rows: 10, m: 2, k: 8 })).toBe(false);
  expect(linearFewRows(new Float32Array(0), weight, new Float32Array(5), { rows: 1, m: 5, k: 0 })).toBe(false);
});
