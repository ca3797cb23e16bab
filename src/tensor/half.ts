// The two 16-bit floats by their bits. Everything goes through integers: NaNs keep their payload and subnormals are not flushed.

let cachedTable: Uint32Array | undefined;

/** The bits of the f32 of every f16: 256 KiB, built at the first use. */
function widenTable(): Uint32Array {
  cachedTable ??= Uint32Array.from({ length: 0x10000 }, (_, half) => widenFloat16(half));
  return cachedTable;
}

/** IEEE 754 binary16 (1 sign, 5 exponent, 10 mantissa bits) to binary32 (1, 8, 23). */
function widenFloat16(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  const shift = Math.clz32(mantissa) - 21; // moves the leading one of a subnormal to bit 10
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
}

/** The f32 bits of the halves from `first` on, as many as `out` holds; f16, exact. */
export function widenF16(halves: Uint16Array, out: Uint32Array, first = 0): void {
  const table = widenTable();
  for (let i = 0; i < out.length; i++) out[i] = table[halves[first + i]];
}

/** As `widenF16` for bf16, the upper half of an f32. */
export function widenBF16(halves: Uint16Array, out: Uint32Array, first = 0): void {
  for (let i = 0; i < out.length; i++) out[i] = halves[first + i] << 16;
}

/** f32 bits to f16, to nearest, ties to even: beyond 65504 infinity, NaN as 0x7e00 with its sign (as PyTorch). */
export function narrowF16(bits: Uint32Array, out: Uint16Array): void {
  for (let i = 0; i < out.length; i++) out[i] = narrowFloat16(bits[i]);
}

function narrowFloat16(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const size = word & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00;
  // 65520 lies between the largest f16 and the next power of two.
  if (size >= 0x477ff000) return sign | 0x7c00;
  if (size >= 0x38800000) return sign | ((size - 0x38000000 + 0xfff + ((size >> 13) & 1)) >> 13);
  // Below 2^-14: a count of 2^-24. Half of that and less is 0.
  if (size <= 0x33000000) return sign;
  const shift = 126 - (size >> 23);
  const mantissa = (size & 0x7fffff) | 0x800000;
  const down = mantissa >> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (rest > half || (rest === half && (down & 1) === 1) ? down + 1 : down);
}

/** f32 bits to bf16, to nearest, ties to even; NaN as 0x7fc0 (as PyTorch). */
export function narrowBF16(bits: Uint32Array, out: Uint16Array): void {
  for (let i = 0; i < out.length; i++) {
    const word = bits[i];
    out[i] = (word & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
}
