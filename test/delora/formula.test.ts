import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NORM_EPSILON } from "../../src/delora/index.ts";
import { linear, mul, sum } from "../../src/ops/index.ts";
import {
  type DrawnLayer,
  dot,
  drawnLayer,
  f64,
  frobenius,
  layerOf,
  length,
  type Matrix,
  rows,
  transposed,
} from "./draw-layer.ts";

interface Gradients {
  readonly a: Matrix;
  readonly b: Matrix;
  readonly lambda: number;
  readonly x: Matrix;
}

async function gradients({ layer, x, g }: Pick<DrawnLayer, "layer" | "x" | "g">): Promise<Gradients> {
  const input = f64(x);
  input.requiresGrad = true;
  for (const parameter of layer.parameters()) parameter.grad = null;
  sum(mul(layer.delta(input), f64(g))).backward();
  const [[lambda]] = await rows(layer.lambda.grad);
  return { a: await rows(layer.a.grad), b: await rows(layer.b.grad), lambda, x: await rows(input.grad) };
}

/** The gradients by the formulas of PEFT's variant, in plain numbers. */
function closedForm({ weight, a, b, lambda, x, g }: DrawnLayer): Gradients {
  const r = a.length;
  const w = transposed(weight).map(length);
  const columns = transposed(b);
  const clamped = (norm: number): number => Math.max(norm, NORM_EPSILON);
  const lengths = a.map((row, i) => clamped(length(row)) * clamped(length(columns[i])));
  const u = x.map((row) => row.map((value, j) => value * w[j]));
  const v = weight.map((row, o) => row.map((_, j) => g.reduce((total, gt, t) => total + gt[o] * u[t][j], 0)));
  const c = a.map((row, i) =>
    dot(
      columns[i],
      v.map((line) => dot(line, row)),
    ),
  );
  const s = lengths.map((product) => lambda / r / product);
  const tangent = (raw: number[], at: number[], i: number): number[] => {
    const norm = length(at);
    return raw.map((value, j) => s[i] * (value - (norm >= NORM_EPSILON ? (c[i] / norm ** 2) * at[j] : 0)));
  };
  return {
    a: a.map((row, i) =>
      tangent(
        transposed(v).map((line) => dot(line, columns[i])),
        row,
        i,
      ),
    ),
    b: transposed(
      columns.map((column, i) =>
        tangent(
          v.map((line) => dot(line, a[i])),
          column,
          i,
        ),
      ),
    ),
    lambda: c.reduce((total, ci, i) => total + ci / lengths[i], 0) / r,
    x: g.map((gt) =>
      w.map((wj, j) => wj * a.reduce((total, row, i) => total + row[j] * s[i] * dot(columns[i], gt), 0)),
    ),
  };
}

/** Largest difference, relative to the largest number of either. */
function distance(actual: Matrix, expected: Matrix): number {
  const flat = expected.flat();
  const largest = Math.max(1e-300, ...flat.map(Math.abs), ...actual.flat().map(Math.abs));
  return Math.max(...actual.flat().map((value, i) => Math.abs(value - flat[i]) / largest));
}

describe("the worked example, computed with PEFT", () => {
  const weight = [
    [1, 2, 0, -1],
    [2, 0, 1, 1],
    [0, -2, 2, 1],
  ];
  const layer = layerOf(
    weight,
    [
      [1, 0, -1, 2],
      [0.5, 0.5, 0.5, 0.5],
    ],
    [
      [3, 0],
      [0, 1],
      [4, 1],
    ],
    3,
  );
  const x = [[1, -1, 2, 0.5]];

  it("has PEFT's column norms, update and output", async () => {
    const close = async (actual: Matrix, expected: Matrix): Promise<void> =>
      expect(distance(actual, expected)).toBeLessThan(1e-7);
    await close(await rows(layer.wNorm), [[2.236068, 2.8284271, 2.236068, 1.7320508]]);
    const delta = await rows(layer.deltaWeight());
    await close(delta, [
      [0.8215838, 0, -0.8215838, 1.2727921],
      [1.1858542, 1.5000001, 1.1858542, 0.9185587],
      [2.2812994, 1.5000001, 0.0904091, 2.6156149],
    ]);
    expect(frobenius(delta)).toBeCloseTo(4.8145809, 5);
    expect(await layer.strength().bound.item()).toBeCloseTo(8.485281, 6);
    const [y] = await rows(linear(f64(x), f64(weight)));
    const [added] = await rows(layer.delta(f64(x)));
    await close([y.map((value, i) => value + added[i])], [[-1.6851878, 7.0168419, 8.7699251]]);
  });

  it("has PEFT's gradients", async () => {
    const { a, b, lambda } = await gradients({ layer, x, g: [[1, -2, 0.5]] });
    const dA = [
      [1.4207474, -1.7320507, 2.6871717, 0.6332121],
      [-1.6699311, 6.3876314, -5.2274938, 0.5097935],
    ];
    const dB = [
      [-0.0246917, 2.5168419],
      [0.1234585, -3.1460524],
      [0.0185188, 3.1460524],
    ];
    expect(distance(a, dA)).toBeLessThan(1e-6);
    expect(distance(b, dB)).toBeLessThan(1e-6);
    expect(lambda).toBeCloseTo(-1.3613031, 6);
  });
});

/** Every pair of numbers differs by at most `room`. */
function expectClose(actual: readonly number[], expected: readonly number[], room: number): void {
  expect(actual).toHaveLength(expected.length);
  for (const [i, value] of actual.entries()) expect(Math.abs(value - expected[i])).toBeLessThanOrEqual(room);
}

/** ‖v‖ / max(‖v‖, ε) / max(‖of‖, ε): how much a term of the gradient is scaled. */
const amplification = (v: readonly number[], of: readonly number[]): number =>
  length(v) / Math.max(length(v), NORM_EPSILON) / Math.max(length(of), NORM_EPSILON);

describe("properties of DeLoRA", () => {
  it("gradients are those of the closed form, on both sides of the clamp", async () => {
    await fc.assert(
      fc.asyncProperty(drawnLayer(), async (drawn) => {
        const { weight, a, b, lambda, x, g } = drawn;
        const actual = await gradients(drawn);
        const expected = closedForm(drawn);
        // Terms that cancel are measured against their own size.
        const room = 1e-10 * frobenius(weight) * frobenius(g);
        const columns = transposed(b);
        const strength = Math.abs(lambda) * frobenius(x);
        for (const [i, row] of a.entries()) {
          expectClose(actual.a[i], expected.a[i], room * strength * amplification(columns[i], row));
        }
        const [db, dbExpected] = [transposed(actual.b), transposed(expected.b)];
        for (const [i, column] of columns.entries()) {
          expectClose(db[i], dbExpected[i], room * strength * amplification(a[i], column));
        }
        expectClose([actual.lambda], [expected.lambda], room * frobenius(x));
        expectClose(actual.x.flat(), expected.x.flat(), room * Math.abs(lambda));
      }),
    );
  });

  it("the output is 0 at B = 0, and only B has a gradient, amplified by 10⁴ (M3, M4)", async () => {
    await fc.assert(
      fc.asyncProperty(drawnLayer({ aboveClamp: true }), async ({ weight, a, b, lambda, x, g }) => {
        const r = a.length;
        const layer = layerOf(
          weight,
          a,
          b.map((row) => row.map(() => 0)),
          lambda,
        );
        const zeros = [...(await rows(layer.delta(f64(x)))), ...(await rows(layer.deltaWeight()))].flat();
        expect(zeros.every((value) => value === 0)).toBe(true);
        const actual = await gradients({ layer, x, g });
        expect([...actual.a.flat(), actual.lambda].every((value) => value === 0)).toBe(true);
        const u = x.map((row) => row.map((value, j) => value * length(transposed(weight)[j])));
        actual.b.forEach((row, o) => {
          row.forEach((value, i) => {
            const factor = lambda / r / (length(a[i]) * NORM_EPSILON);
            const product = g.reduce((total, gt, t) => total + gt[o] * dot(u[t], a[i]), 0);
            expectClose(
              [value],
              [factor * product],
              1e-12 * Math.abs(factor) * frobenius(g) * frobenius(u) * length(a[i]),
            );
          });
        });
      }),
    );
  });

  it("a zero row gives no NaN in value or gradient", async () => {
    const layer = layerOf(
      [
        [1, 2],
        [3, 4],
      ],
      [
        [0, 0],
        [1, 0],
      ],
      [
        [0, 0],
        [0, 0],
      ],
      5,
    );
    const { a, b, lambda } = await gradients({ layer, x: [[1, 2]], g: [[1, 1]] });
    expect([...a.flat(), ...b.flat(), lambda].every(Number.isFinite)).toBe(true);
  });

  it("gradients are tangent: a_i · dL/da_i = 0 and b_i · dL/db_i = 0 above the clamp (M5)", async () => {
    await fc.assert(
      fc.asyncProperty(drawnLayer({ aboveClamp: true }), async (drawn) => {
        const { weight, lambda, x, g } = drawn;
        const { a, b } = await gradients(drawn);
        const room = 1e-12 * Math.abs(lambda) * frobenius(weight) * frobenius(x) * frobenius(g);
        const db = transposed(b);
        for (const [i, row] of drawn.a.entries()) expectClose([dot(row, a[i])], [0], room);
        for (const [i, column] of transposed(drawn.b).entries()) expectClose([dot(column, db[i])], [0], room);
      }),
    );
  });

  it("the update depends on directions only: positive scales and a common sign cancel (M5)", async () => {
    const scale = fc.integer({ min: 100, max: 10_000 }).map((thousandths) => thousandths / 1000);
    await fc.assert(
      fc.asyncProperty(
        drawnLayer({ aboveClamp: true }),
        scale,
        scale,
        fc.constantFrom(1, -1),
        async (drawn, forA, forB, sign) => {
          const { layer, weight, a, b, lambda } = drawn;
          const times = (m: Matrix, factor: number): Matrix =>
            m.map((row) => row.map((value) => factor * value));
          const scaled = layerOf(weight, times(a, sign * forA), times(b, sign * forB), lambda);
          const [actual, expected] = [await rows(scaled.deltaWeight()), await rows(layer.deltaWeight())];
          expectClose(actual.flat(), expected.flat(), 1e-13 * Math.abs(lambda) * frobenius(weight));
        },
      ),
    );
  });

  it("‖ΔW‖_F ≤ |λ|·max w_j, every column ≤ |λ|·w_j, for λ of either sign (M6)", async () => {
    await fc.assert(
      fc.asyncProperty(drawnLayer(), async ({ layer, weight, lambda }) => {
        const delta = await rows(layer.deltaWeight());
        const w = transposed(weight).map(length);
        const bound = Math.abs(lambda) * Math.max(...w);
        const rounding = 1 + 1e-12;
        expect(frobenius(delta)).toBeLessThanOrEqual(bound * rounding);
        expect(await layer.strength().bound.item()).toBeCloseTo(bound, 10);
        for (const [j, column] of transposed(delta).entries()) {
          expect(length(column)).toBeLessThanOrEqual(Math.abs(lambda) * w[j] * rounding);
        }
      }),
    );
  });

  it("the factored output is the dense update times the input (M2)", async () => {
    await fc.assert(
      fc.asyncProperty(drawnLayer(), async ({ layer, weight, lambda, x }) => {
        const [actual, dense] = [
          await rows(layer.delta(f64(x))),
          await rows(linear(f64(x), layer.deltaWeight())),
        ];
        expectClose(actual.flat(), dense.flat(), 1e-12 * Math.abs(lambda) * frobenius(weight) * frobenius(x));
      }),
    );
  });
});

describe("the clamp's gradient", () => {
  // With one input the tangent is zero: a gradient shows that the clamp blocked it.
  it.each([
    [1e-4, "passes at equality", false],
    [1.0000001e-4, "passes above", false],
    [0.9999999e-4, "is blocked below", true],
  ])("at a norm of %d %s", async (norm, _, isBlocked) => {
    const layer = layerOf([[2]], [[norm]], [[1]], 3);
    const { a } = await gradients({ layer, x: [[1]], g: [[1]] });
    const expected = isBlocked ? (3 / 1e-4) * 2 : 0;
    expect(Math.abs(a[0][0] - expected)).toBeLessThanOrEqual(1e-6);
  });
});
