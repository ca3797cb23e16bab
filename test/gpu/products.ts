import type { Gpu } from "../../src/gpu/device.ts";
import type { GemmMode, GemmSize } from "../../src/gpu/gemm.ts";
import type { GemmFormat } from "../../src/gpu/gemm-wgsl.ts";
import { quantizeBlocks } from "../../src/tensor/blocks.ts";
import { isHalf, type PackedArray, type StoredFormat } from "../../src/tensor/dtype.ts";
import type { KernelProfile } from "../../src/tensor/op-spec.ts";
import { encode } from "../../src/tensor/stored-format.ts";

export const MODES: readonly GemmMode[] = ["NN", "NT", "TN"];

const CPU_ADAPTER: KernelProfile = { isSoftware: true, subgroupSize: null, subgroups: false };
/** A GPU of no known make, to plan for: kernels with its subgroups need not run here. */
export const GPU_ADAPTER: KernelProfile = { isSoftware: false, subgroupSize: 32, subgroups: true };

/** How kernels see an opened GPU. */
export const profileOf = ({ profile }: Gpu): KernelProfile => ({ ...profile, subgroups: profile.features.subgroups });

/** The device as it is, and as devices whose kernels it can run too. */
export const FAMILIES: readonly (readonly [name: string, profile: (gpu: Gpu) => KernelProfile])[] = [
  ["this device", profileOf],
  ["a CPU adapter without subgroups", () => CPU_ADAPTER],
  ["a GPU", (gpu) => ({ ...profileOf(gpu), isSoftware: false })],
  ["a GPU whose subgroups vary", () => ({ ...GPU_ADAPTER, subgroupSize: null })],
];

/** A product in f64. */
export interface Product {
  readonly value: Float64Array;
  /** Σ |a·b|, which bounds the rounding error. */
  readonly terms: Float64Array;
}

/** The product of `a` and `b` as `gemmPlan` has it. */
export function reference(mode: GemmMode, size: GemmSize, a: Float32Array, b: Float32Array): Product {
  const { batch, m, n, k, strideA = m * k, strideB = k * n } = size;
  const value = new Float64Array(batch * m * n);
  const terms = new Float64Array(batch * m * n);
  for (let i = 0; i < batch * m * n; i++) {
    const [column, row, matrix] = [i % n, Math.floor(i / n) % m, Math.floor(i / n / m)];
    for (let l = 0; l < k; l++) {
      const left = a[matrix * strideA + (mode === "TN" ? l * m + row : row * k + l)];
      const right = b[matrix * strideB + (mode === "NT" ? column * k + l : l * n + column)];
      value[i] += left * right;
      terms[i] += Math.abs(left * right);
    }
  }
  return { value, terms };
}

/** The first element of `got` beyond the rounding of a sum of `k` terms, in words; null where there is none. */
export function deviation(got: Float32Array, { value, terms }: Product, k: number): string | null {
  const worst = got.findIndex((x, i) => !(Math.abs(x - value[i]) <= (k + 1) * 2 ** -24 * terms[i]));
  return worst < 0 ? null : `element ${worst} is ${got[worst]}, not ${value[worst]}`;
}

/** `values` in a stored format. */
export function pack(format: StoredFormat, values: Float32Array): PackedArray {
  const packed = isHalf(format) ? encode(format, values) : quantizeBlocks(format, values);
  if (!packed) throw new Error("not finite");
  return packed;
}

/** The words that a kernel reads, the last one filled up. */
export function wordsOf({ buffer, byteLength }: PackedArray): Int32Array {
  const bytes = new Uint8Array(Math.ceil(byteLength / 4) * 4);
  bytes.set(new Uint8Array(buffer, 0, byteLength));
  return new Int32Array(bytes.buffer);
}

/** Terms that an operand's decoding may round like: q4_1 adds its steps to its minimum, either of them up to three times as large. */
export const roundings = (format: GemmFormat): number => (format === "q4_1" ? 4 : 0);
