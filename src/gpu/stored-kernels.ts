import type { HalfFormat, StoredFormat } from "../tensor/dtype.ts";
import type { KernelPlan, KernelSource } from "../tensor/op-spec.ts";
import { foldGrid, GROUP_NUMBER } from "./fold-grid.ts";

const WORKGROUP = 64;

// Everything goes through u32: a float may lose a NaN's payload or a subnormal on the way.
const WIDEN: Readonly<Record<HalfFormat, string>> = {
  bf16: "fn widen(half: u32) -> u32 { return half << 16u; }",
  f16: /* wgsl */ `
fn widen(half: u32) -> u32 {
  let sign = (half & 0x8000u) << 16u;
  let exponent = (half >> 10u) & 31u;
  let mantissa = half & 0x3ffu;
  if (exponent == 31u) { return sign | 0x7f800000u | (mantissa << 13u); }
  if (exponent > 0u) { return sign | ((exponent + 112u) << 23u) | (mantissa << 13u); }
  if (mantissa == 0u) { return sign; }
  let shift = countLeadingZeros(mantissa) - 21u;
  return sign | ((113u - shift) << 23u) | (((mantissa << shift) & 0x3ffu) << 13u);
}`,
};

const NARROW: Readonly<Record<HalfFormat, string>> = {
  bf16: /* wgsl */ `
fn narrow(word: u32) -> u32 {
  if ((word & 0x7fffffffu) > 0x7f800000u) { return 0x7fc0u; }
  return (word + 0x7fffu + ((word >> 16u) & 1u)) >> 16u;
}`,
  f16: /* wgsl */ `
fn narrow(word: u32) -> u32 {
  let sign = (word >> 16u) & 0x8000u;
  let size = word & 0x7fffffffu;
  if (size > 0x7f800000u) { return sign | 0x7e00u; }
  if (size >= 0x477ff000u) { return sign | 0x7c00u; }
  if (size >= 0x38800000u) { return sign | ((size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u); }
  if (size <= 0x33000000u) { return sign; }
  let shift = 126u - (size >> 23u);
  let mantissa = (size & 0x7fffffu) | 0x800000u;
  let down = mantissa >> shift;
  let rest = mantissa & ((1u << shift) - 1u);
  let half = 1u << (shift - 1u);
  return sign | (down + select(0u, 1u, rest > half || (rest == half && (down & 1u) == 1u)));
}`,
};

const half = (index: string): string => `((words[(${index}) >> 1u] >> (((${index}) & 1u) << 4u)) & 0xffffu)`;
const scale = (index: string): string => `bitcast<f32>(widen(${half(index)}))`;
// Byte j of a block holds element j in its lower and j + 16 in its upper half.
const NIBBLE = /* wgsl */ `
fn nibble(i: u32) -> f32 {
  let at = (i >> 5u) * 16u + (i & 15u);
  return f32((words[at >> 2u] >> ((at & 3u) * 8u + ((i >> 4u) & 1u) * 4u)) & 15u);
}`;
const halfReader = (format: HalfFormat): string => `${WIDEN[format]}
fn bits_at(i: u32, size: u32) -> u32 { return widen(${half("i")}); }`;

const READERS: Readonly<Record<StoredFormat, string>> = {
  f16: halfReader("f16"),
  bf16: halfReader("bf16"),
  q8_0: /* wgsl */ `${WIDEN.f16}
fn bits_at(i: u32, size: u32) -> u32 {
  let q = extractBits(bitcast<i32>(words[i >> 2u]), (i & 3u) * 8u, 8u);
  return bitcast<u32>(f32(q) * ${scale("size / 2u + (i >> 5u)")});
}`,
  q4_0: /* wgsl */ `${WIDEN.f16} ${NIBBLE}
fn bits_at(i: u32, size: u32) -> u32 {
  let q = nibble(i) - 8.0;
  // Never -0: the CPU has none.
  return select(bitcast<u32>(q * ${scale("size / 4u + (i >> 5u)")}), 0u, q == 0.0);
}`,
  q4_1: /* wgsl */ `${WIDEN.f16} ${NIBBLE}
fn bits_at(i: u32, size: u32) -> u32 {
  let at = size / 4u + 2u * (i >> 5u);
  return bitcast<u32>(nibble(i) * ${scale("at")} + ${scale("at + 1u")});
}`,
};

/**
 * WGSL for kernels that read a stored operand as it lies: `bits_at(i: u32, size: u32) -> u32`, the bits of element
 * `i` of `buffer` (an array of u32 words) as f32. `size` is the number of its elements.
 */
export const storedReader = (format: StoredFormat, buffer: string): string =>
  READERS[format].replaceAll("words[", `${buffer}[`);

/** A kernel of one u32 word an invocation, `y[i]` from the words of `x`; `dims.count` is the number of elements of `y`. */
const wordKernel = (label: string, helpers: string, body: string): KernelSource => ({
  label,
  bindings: ["read", "read_write"],
  code: /* wgsl */ `
struct Dims { count: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(1) @binding(0) var<uniform> dims: Dims;
${helpers}
@compute @workgroup_size(${WORKGROUP}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) local: u32) {
  let i = (${GROUP_NUMBER}) * ${WORKGROUP}u + local;
  ${body}
}`,
});

const decoder = (format: StoredFormat): KernelSource =>
  wordKernel(`decode ${format}`, storedReader(format, "x"), "if (i < dims.count) { y[i] = bits_at(i, dims.count); }");

const encoder = (format: HalfFormat): KernelSource =>
  wordKernel(
    `encode ${format}`,
    NARROW[format],
    /* wgsl */ `
  if (2u * i >= dims.count) { return; }
  let upper = select(0u, narrow(x[2u * i + 1u]), 2u * i + 1u < dims.count);
  y[i] = narrow(x[2u * i]) | (upper << 16u);`,
  );

/** One kernel for each stored format. */
export const forEachFormat = (make: (format: StoredFormat) => KernelSource): Readonly<Record<StoredFormat, KernelSource>> => ({
  f16: make("f16"),
  bf16: make("bf16"),
  q8_0: make("q8_0"),
  q4_0: make("q4_0"),
  q4_1: make("q4_1"),
});

const DECODERS = forEachFormat(decoder);
const ENCODERS = { f16: encoder("f16"), bf16: encoder("bf16") };

/** `count` elements of a stored format to f32, the bits that the CPU gives: buffers packed, f32. */
export const decodePlan = (format: StoredFormat, count: number): KernelPlan => ({
  kernel: DECODERS[format],
  params: Uint32Array.of(count),
  grid: foldGrid(Math.ceil(count / WORKGROUP)),
});

/** `count` f32 elements to 16 bits, to nearest, ties to even: buffers f32, packed. */
export const encodePlan = (format: HalfFormat, count: number): KernelPlan => ({
  kernel: ENCODERS[format],
  params: Uint32Array.of(count),
  grid: foldGrid(Math.ceil(count / 2 / WORKGROUP)),
});
