const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/**
 * The bits of a number rounded to f32, for `params`: a constant worked out in f64 that a kernel reads as
 * `bitcast<f32>(dims.name)`. Working out `1 - 0.999` in the kernel would lose four digits.
 */
export function f32Bits(value: number): number {
  float[0] = value;
  return word[0];
}
