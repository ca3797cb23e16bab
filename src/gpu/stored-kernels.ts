import type { HalfFormat, StoredFormat } from "../tensor/dtype.ts";
import type { KernelPlan, KernelSource } from "../tensor/op-spec.ts";
import { foldGrid, GROUP_NUMBER } from "./fold-grid.ts";

const WORKGROUP = 64;

// Everything goes through u32: a float may lose a NaN's payload on the way. Subnormals of f16 are whole multiples of 2^-24.
const widenF16 = (name: string, [u, f]: readonly [bits: string, floats: string]): string => /* wgsl */ `
fn ${name}(half: ${u}) -> ${u} {
  let exponent = half & ${u}(0x7c00u);
  let rebased = ((half & ${u}(0x7fffu)) << ${u}(13u)) + select(${u}(0x38000000u), ${u}(0x70000000u), exponent == ${u}(0x7c00u));
  let subnormal = bitcast<${u}>(${f}(half & ${u}(0x3ffu)) * 0x1p-24f);
  return ((half & ${u}(0x8000u)) << ${u}(16u)) | select(rebased, subnormal, exponent == ${u}(0u));
}`;

const WIDEN: Readonly<Record<HalfFormat, string>> = {
  bf16: "fn widen(half: u32) -> u32 { return half << 16u; }",
  f16: widenF16("widen", ["u32", "f32"]),
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
const NIBBLES = /* wgsl */ `
fn nibbles(i: u32) -> vec4f {
  return vec4f((vec4u(words[(i >> 5u) * 4u + ((i & 15u) >> 2u)]) >> (vec4u(0u, 8u, 16u, 24u) + ((i >> 4u) & 1u) * 4u)) & vec4u(15u));
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

// Four neighbours lie in one word, or in two; the first of them is at a multiple of four.
const FOURS: Readonly<Record<StoredFormat, string>> = {
  bf16: /* wgsl */ `
fn four_at(i: u32, size: u32) -> vec4f {
  let pair = vec2u(words[i >> 1u], words[(i >> 1u) + 1u]).xxyy;
  return bitcast<vec4f>((pair << vec4u(16u, 0u, 16u, 0u)) & vec4u(0xffff0000u));
}`,
  f16: /* wgsl */ `${widenF16("widen_four", ["vec4u", "vec4f"])}
fn four_at(i: u32, size: u32) -> vec4f {
  let pair = vec2u(words[i >> 1u], words[(i >> 1u) + 1u]).xxyy;
  return bitcast<vec4f>(widen_four((pair >> vec4u(0u, 16u, 0u, 16u)) & vec4u(0xffffu)));
}`,
  q8_0: /* wgsl */ `${WIDEN.f16}
fn four_at(i: u32, size: u32) -> vec4f {
  let q = (vec4i(bitcast<i32>(words[i >> 2u])) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u);
  return vec4f(q) * ${scale("size / 2u + (i >> 5u)")};
}`,
  q4_0: /* wgsl */ `${WIDEN.f16} ${NIBBLES}
fn four_at(i: u32, size: u32) -> vec4f { return (nibbles(i) - 8.0) * ${scale("size / 4u + (i >> 5u)")}; }`,
  q4_1: /* wgsl */ `${WIDEN.f16} ${NIBBLES}
fn four_at(i: u32, size: u32) -> vec4f {
  let pair = words[size / 8u + (i >> 5u)];
  return nibbles(i) * bitcast<f32>(widen(pair & 0xffffu)) + bitcast<f32>(widen(pair >> 16u));
}`,
};

/**
 * WGSL for kernels that read a stored operand as it lies, four elements at a time: `four_at(i: u32, size: u32) -> vec4f`, elements
 * `i` to `i + 3` of `buffer` (an array of u32 words) for a multiple `i` of four. `size` is the number of its elements.
 */
export const storedFours = (format: StoredFormat, buffer: string): string => FOURS[format].replaceAll("words[", `${buffer}[`);

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
