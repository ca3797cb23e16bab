import fc from "fast-check";
import { DeloraLayer } from "../../src/delora/index.ts";
import { tensor } from "../../src/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

/** A matrix as rows of numbers. */
export type Matrix = number[][];

/** A DeLoRA layer in f64 with the numbers it was made of. */
export interface DrawnLayer {
  readonly layer: DeloraLayer;
  readonly weight: Matrix;
  readonly a: Matrix;
  readonly b: Matrix;
  readonly lambda: number;
  readonly x: Matrix;
  /** dL/dy, as rows like `x`. */
  readonly g: Matrix;
}

export const f64 = (data: Matrix | number[]): Tensor => tensor(data, { dtype: "f64", device: "cpu" });

/** A tensor's values as rows. */
export async function rows(t: Tensor | null): Promise<Matrix> {
  if (!t) throw new Error("there is no gradient");
  const data = await t.data();
  const width = t.shape.at(-1) ?? 1;
  return Array.from({ length: data.length / width }, (_, i) =>
    Array.from(data.slice(i * width, (i + 1) * width)),
  );
}

export const dot = (x: readonly number[], y: readonly number[]): number =>
  x.reduce((sum, value, i) => sum + value * y[i], 0);
export const length = (x: readonly number[]): number => Math.sqrt(dot(x, x));
/** √(Σ m²) */
export const frobenius = (m: Matrix): number => length(m.flat());
export const transposed = (m: Matrix): Matrix => m[0].map((_, j) => m.map((row) => row[j]));

/** A DeLoRA layer in f64 with given tensors. */
export function layerOf(weight: Matrix, a: Matrix, b: Matrix, lambda: number): DeloraLayer {
  const layer = new DeloraLayer(f64(weight), { r: a.length, lambda, initWeights: true, dropout: 0 });
  layer.a.assign(f64(a));
  layer.b.assign(f64(b));
  return layer;
}

/**
 * Layers of random sizes; λ of either sign; rows of A and columns of B on both sides of the clamp (or all
 * above it).
 */
export function drawnLayer(options: { readonly aboveClamp?: boolean } = {}): fc.Arbitrary<DrawnLayer> {
  const size = fc.integer({ min: 1, max: 6 });
  const value = fc.integer({ min: -2000, max: 2000 }).map((thousandths) => thousandths / 1000);
  const matrix = (m: number, n: number): fc.Arbitrary<Matrix> =>
    fc.array(fc.array(value, { minLength: n, maxLength: n }), { minLength: m, maxLength: m });
  const scales = options.aboveClamp ? fc.constant(1) : fc.constantFrom(1, 1, 3e-5);
  const scaled = (m: number, n: number): fc.Arbitrary<Matrix> =>
    fc
      .tuple(matrix(m, n), fc.array(scales, { minLength: m, maxLength: m }))
      .map(([rows, factors]) => rows.map((row, i) => row.map((v) => v * factors[i])))
      .filter((rows) => !options.aboveClamp || rows.every((row) => length(row) > 0));
  return fc
    .tuple(size, size, size, fc.integer({ min: 1, max: 4 }))
    .chain(([m, n, r, t]) =>
      fc.record({
        weight: matrix(m, n),
        a: scaled(r, n),
        b: scaled(r, m).map(transposed),
        lambda: fc.integer({ min: -2000, max: 2000 }).map((hundredths) => hundredths / 100),
        x: matrix(t, n),
        g: matrix(t, m),
      }),
    )
    .map((drawn) => ({ ...drawn, layer: layerOf(drawn.weight, drawn.a, drawn.b, drawn.lambda) }));
}
