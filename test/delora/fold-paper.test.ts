import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, it } from "vitest";
import { foldPaper } from "../../src/delora/fold-paper.ts";
import { deloraFactors } from "../../src/delora/formula.ts";
import { DeloraConfig, getPeftModel, PeftModel } from "../../src/delora/index.ts";
import { add, manualSeed, matmul, noGrad, randn, tensor } from "../../src/ops/index.ts";
import { length, type Matrix, rows, transposed } from "./draw-layer.ts";
import { relativeError } from "./golden-run.ts";
import { ALL_TARGETS, logitsOf, tinyLlama } from "./tiny-llama.ts";

/** A, B and λ of one half of the paper's formula. */
interface Half {
  readonly a: Matrix;
  readonly b: Matrix;
  readonly lambda: number;
}

/** (λ/r)·Σ b_i·a_iᵀ·diag(w) / (‖b_i‖·‖a_i‖) in plain numbers; a vector of zeros has no direction. */
function paperUpdate({ a, b, lambda }: Half, w: readonly number[]): Matrix {
  const columns = transposed(b);
  const factors = a.map((row, i) => {
    const product = length(row) * length(columns[i]);
    return product > 0 ? lambda / a.length / product : 0;
  });
  return b.map((line) => w.map((wj, j) => line.reduce((sum, bi, i) => sum + factors[i] * bi * a[i][j] * wj, 0)));
}

const size = fc.integer({ min: 1, max: 7 });
const value = fc.integer({ min: -2000, max: 2000 }).map((thousandths) => Math.fround(thousandths / 1000));
// Vectors of zeros, and lengths on both sides of PEFT's bound.
const scale = fc.constantFrom(1, 1, 1, 0, 1e-6, 1e5);
const vectors = (count: number, of: number): fc.Arbitrary<Matrix> =>
  fc.array(
    fc.tuple(fc.array(value, { minLength: of, maxLength: of }), scale)
      .map(([vector, factor]) => vector.map((x) => Math.fround(x * factor))),
    { minLength: count, maxLength: count },
  );
const strength = fc.oneof(
  fc.integer({ min: -2000, max: 2000 }).map((hundredths) => Math.fround(hundredths / 100)),
  fc.constantFrom(0, 15, -15, 14.9999, 1e-6),
);
const half = (m: number, n: number, r: number): fc.Arbitrary<Half> =>
  fc.record({ a: vectors(r, n), b: vectors(r, m).map(transposed), lambda: strength });
const drawn = fc.tuple(size, size, size).chain(([m, n, r]) =>
  fc.record({
    now: half(m, n, r),
    first: half(m, n, r),
    w: fc.array(value.map(Math.abs), { minLength: n, maxLength: n }),
  }),
);

const f32 = (data: Matrix | number[]) => tensor(data, { dtype: "f32", device: "cpu" });
const tensorsOf = ({ a, b, lambda }: Half, w: number[]) => ({ a: f32(a), b: f32(b), lambda: f32([lambda]), wNorm: f32(w) });

it("PEFT's formula on the folded tensors is the paper's, to f32 rounding", async () => {
  await fc.assert(
    fc.asyncProperty(drawn, async ({ now, first, w }) => {
      const folded = foldPaper({ now: tensorsOf(now, w), first: tensorsOf(first, w) });
      const r = now.a.length;
      expect([folded.a.shape, folded.b.shape]).toEqual([[2 * r, w.length], [now.b.length, 2 * r]]);
      const { up, down } = deloraFactors(folded);
      const actual = (await rows(matmul(up, down))).flat();
      const expected = paperUpdate(now, w).map((row, i) => row.map((x, j) => x - paperUpdate(first, w)[i][j]));
      // Terms that cancel are measured against their own size.
      const room = 1e-6 * (Math.abs(now.lambda) + Math.abs(first.lambda)) * Math.max(...w);
      for (const [i, x] of expected.flat().entries()) expect(Math.abs(actual[i] - x)).toBeLessThanOrEqual(room);
    }),
    { numRuns: 300 },
  );
});

it("a strength of zero, now or from the start, and of both", async () => {
  const one = { a: [[3, 4]], b: [[2], [0]] };
  const w = [1, 2];
  for (const [lambda, firstLambda] of [[5, 0], [0, 5], [0, 0]]) {
    const folded = foldPaper({
      now: tensorsOf({ ...one, lambda }, w),
      first: tensorsOf({ ...one, lambda: firstLambda }, w),
    });
    const { up, down } = deloraFactors(folded);
    const [top, bottom] = await rows(matmul(up, down));
    const strength = lambda - firstLambda;
    expect(top[0]).toBeCloseTo(0.6 * strength, 6);
    expect(top[1]).toBeCloseTo(1.6 * strength, 6);
    expect(bottom).toEqual([0, 0]);
  }
});

it("an adapter of the paper's variant comes back from its files with the same output, as PEFT's of twice the rank", async () => {
  manualSeed(5);
  const config = { r: 3, rankPattern: { up_proj: 2 }, targetModules: ALL_TARGETS };
  const peft = getPeftModel(tinyLlama(), new DeloraConfig({ ...config, variant: "paper" }));
  // Directions that moved, and strengths above and below those at the start.
  for (const [i, parameter] of peft.parameters().filter(({ requiresGrad }) => requiresGrad).entries()) {
    const { shape, device } = parameter;
    parameter.assign(noGrad(() => add(parameter, randn([...shape], { std: i % 2 ? 0.3 : 3, device }))));
  }
  const dir = await mkdtemp(join(tmpdir(), "polargrad-fold-"));
  try {
    await peft.savePretrained(dir);
    const loaded = await PeftModel.fromPretrained(tinyLlama(), dir);
    const [before, after] = [await peft.adapterReport(), await loaded.adapterReport()];
    expect(after.map(({ name, r }) => [name, r])).toEqual(before.map(({ name, r }) => [name, 2 * r]));
    for (const [i, { deltaNorm }] of before.entries()) {
      expect(deltaNorm).toBeGreaterThan(0);
      expect(after[i].deltaNorm! / deltaNorm!).toBeCloseTo(1, 5);
    }
    expect(relativeError(logitsOf(loaded), logitsOf(peft))).toBeLessThan(1e-5);
    expect(relativeError(logitsOf(tinyLlama()), logitsOf(peft))).toBeGreaterThan(1e-2);
  } finally {
    await rm(dir, { recursive: true });
  }
});
