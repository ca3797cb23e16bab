import { BLOCK, type BlockFormat, bytesPerElement } from "./dtype.ts";
import { narrowF16, widenF16 } from "./half.ts";

/** The integers of a packed array, and the scales (with the minima of q4_1) behind them. */
export interface Planes {
  readonly integers: Uint8Array;
  readonly scales: Uint16Array;
}

/** The two parts of an array of whole blocks; no copies. */
export function planesOf(format: BlockFormat, packed: Uint8Array): Planes {
  const length = packed.byteLength / bytesPerElement(format);
  const bytes = format === "q8_0" ? length : length / 2;
  const { buffer, byteOffset, byteLength } = packed;
  return { integers: packed.subarray(0, bytes), scales: new Uint16Array(buffer, byteOffset + bytes, (byteLength - bytes) / 2) };
}

/** The f32 values of whole blocks from element `first` on, as many as `out` holds. */
export function dequantizeInto(format: BlockFormat, packed: Uint8Array, out: Float32Array, first: number): void {
  const { integers, scales } = planesOf(format, packed);
  const start = first / BLOCK;
  const count = out.length / BLOCK;
  const perBlock = format === "q4_1" ? 2 : 1;
  const values = new Float32Array(count * perBlock);
  widenF16(scales, new Uint32Array(values.buffer), start * perBlock);
  if (format === "q8_0") {
    const bytes = new Int8Array(integers.buffer, integers.byteOffset + first, out.length);
    for (let i = 0; i < out.length; i++) out[i] = bytes[i] * values[i >> 5];
    return;
  }
  for (let block = 0; block < count; block++) {
    const scale = values[block * perBlock];
    const least = format === "q4_1" ? values[2 * block + 1] : -8 * scale;
    const from = (start + block) * 16;
    const to = block * BLOCK;
    for (let j = 0; j < 16; j++) {
      const byte = integers[from + j];
      out[to + j] = (byte & 15) * scale + least;
      out[to + 16 + j] = (byte >> 4) * scale + least;
    }
  }
}

/**
 * Values in blocks, with ggml's rounding: the error is at most half a step of its block, and that of rounding the scale (and
 * minimum) to f16; in `q4_0` a whole step at the end of the range that is opposite to the largest magnitude.
 *
 * @param values whole blocks of finite numbers
 * @returns null for a value that is not finite, or so large that a scale or minimum is beyond f16 (65504)
 */
export function quantizeBlocks(format: BlockFormat, values: Float32Array): Uint8Array | null {
  // Infinity and NaN, less themselves, are NaN.
  if (!values.every((value) => value - value === 0)) return null;
  const packed = new Uint8Array(values.length * bytesPerElement(format));
  const { integers, scales } = planesOf(format, packed);
  const exact = new Float32Array(scales.length);
  const round = ROUND[format];
  for (let block = 0; block * BLOCK < values.length; block++) {
    round(values.subarray(block * BLOCK, (block + 1) * BLOCK), block, integers, exact);
  }
  narrowF16(new Uint32Array(exact.buffer), scales);
  return scales.some((half) => (half & 0x7c00) === 0x7c00) ? null : packed;
}

/** Write the integers of one block, and its scale (and minimum), which are to be rounded to f16. */
type RoundBlock = (x: Float32Array, block: number, integers: Uint8Array, scales: Float32Array) => void;

// The arithmetic is f32's, operation by operation, so that the integers are those of ggml.
const { fround } = Math;

/** 1 / d, or 0 where d vanishes as f16. */
const inverse = (d: number): number => (Math.abs(d) <= 2 ** -25 ? 0 : fround(1 / d));

const ROUND: Readonly<Record<BlockFormat, RoundBlock>> = {
  q8_0(x, block, integers, scales) {
    const d = fround(Math.abs(farthest(x)) / 127);
    scales[block] = d;
    const factor = inverse(d);
    for (let i = 0; i < BLOCK; i++) {
      const v = fround(x[i] * factor);
      integers[block * BLOCK + i] = Math.trunc(v + (v < 0 ? -0.5 : 0.5));
    }
  },
  q4_0(x, block, integers, scales) {
    const d = fround(farthest(x) / -8);
    scales[block] = d;
    const factor = inverse(d);
    pairs(block, integers, (i) => Math.trunc(fround(fround(x[i] * factor) + 8.5)));
  },
  q4_1(x, block, integers, scales) {
    let [low, high] = [x[0], x[0]];
    for (let i = 1; i < BLOCK; i++) {
      if (x[i] < low) low = x[i];
      if (x[i] > high) high = x[i];
    }
    const d = fround(fround(high - low) / 15);
    scales[2 * block] = d;
    scales[2 * block + 1] = low;
    const factor = inverse(d);
    pairs(block, integers, (i) => Math.trunc(fround(fround(fround(x[i] - low) * factor) + 0.5)));
  },
};

/** The first value of the largest magnitude. */
function farthest(x: Float32Array): number {
  let found = 0;
  for (let i = 0; i < BLOCK; i++) if (Math.abs(x[i]) > Math.abs(found)) found = x[i];
  return found;
}

/** Two 4-bit numbers a byte. */
function pairs(block: number, integers: Uint8Array, numberAt: (i: number) => number): void {
  for (let j = 0; j < 16; j++) integers[block * 16 + j] = Math.min(15, numberAt(j)) | (Math.min(15, numberAt(j + 16)) << 4);
}
