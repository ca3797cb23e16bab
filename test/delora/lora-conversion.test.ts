import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AdapterConfigError, LoraConfig, LoraLayer } from "../../src/delora/index.ts";
import {
  checkLoraSize, denseToLora, layerToLora, type LoraFactors, type LoraSize, productToLora,
} from "../../src/delora/lora-conversion.ts";
import { type Matrix, product, rowsOf } from "../../src/linalg/matrix.ts";
import { productSvd } from "../../src/linalg/product-svd.ts";
import { add, manualSeed, matmul, mul, norm, randn, sub, tensor } from "../../src/ops/index.ts";
import { distance, drawnFactors, drawnOfShape, expectOrthonormal, largest, matrixOf } from "../linalg/draw-matrix.ts";
import { layerOf } from "./draw-layer.ts";

/** What PEFT's convert_to_lora gives, recorded by scripts/record-lora-conversion.py. */
interface Recorded {
  readonly given: Readonly<Record<string, Given>>;
  readonly converted: readonly (readonly ["rank" | "energy", number, { readonly layers: Readonly<Record<string, Converted>> }])[];
  readonly refused: readonly (readonly ["rank" | "energy", number, string])[];
}
interface Given {
  readonly out: number;
  readonly in: number;
  readonly a: number[];
  readonly b: number[];
  readonly lambda: number[];
  readonly w_norm: number[];
}
interface Converted {
  readonly r: number;
  readonly a: number[];
  readonly b: number[];
}

const golden = new URL("../goldens/lora-conversion.json", import.meta.url);
const { given, converted, refused } = JSON.parse(readFileSync(golden, "utf8")) as Recorded;
const sizeOf = (kind: "rank" | "energy", value: number): LoraSize => (kind === "rank" ? { rank: value } : { energy: value });
const matrix = (rows: number, data: number[]): Matrix => ({ rows, columns: data.length / rows, data: Float64Array.from(data) });

/** The factors of a recorded layer, by DeLoRA's formula. */
function factorsOf({ out, a, b, lambda, w_norm }: Given): { up: Matrix; down: Matrix } {
  const r = b.length / out;
  const [rows, lines] = [rowsOf(matrix(r, a)), rowsOf(matrix(out, b))];
  const clamped = (values: readonly number[]): number => Math.max(1e-4, Math.hypot(...values));
  const s = rows.map((row, i) => lambda[0] / r / (clamped([...row]) * clamped(lines.map((line) => line[i]))));
  return {
    up: matrixOf(out, r, (i, j) => lines[i][j] * s[j]),
    down: matrixOf(r, w_norm.length, (i, j) => rows[i][j] * w_norm[j]),
  };
}

describe("as PEFT", () => {
  it.each(converted)("%s %d", (kind, value, { layers }) => {
    for (const [name, expected] of Object.entries(layers)) {
      const { up, down } = factorsOf(given[name]);
      for (const found of [productToLora(up, down, sizeOf(kind, value)), denseToLora(product(up, down), sizeOf(kind, value))]) {
        // In f32, PEFT finds rounding at the end of an energy of 1.
        if (value === 1 && kind === "energy") expect(found.a.rows).toBeLessThanOrEqual(expected.r);
        else expect(found.a.rows).toBe(expected.r);
        const [a, b] = [matrix(expected.r, expected.a), matrix(up.rows, expected.b)];
        expect(distance(product(found.b, found.a), product(b, a))).toBeLessThan(1e-6 * (1 + largest(product(up, down))));
        // Each vector has PEFT's length, and its direction up to the sign.
        for (const [i, row] of rowsOf(found.a).entries()) {
          const lengthOfB = Math.hypot(...rowsOf(found.b).map((line) => line[i]));
          expect(lengthOfB).toBeCloseTo(Math.hypot(...rowsOf(b).map((line) => line[i])), 5);
          const cosine = row.reduce((sum, x, j) => sum + x * rowsOf(a)[i][j], 0);
          if (lengthOfB > 1e-3) expect(Math.abs(cosine)).toBeCloseTo(1, 5);
        }
      }
    }
  });

  it.each(refused)("refuses %s %d with the same text", (kind, value, text) => {
    const { up, down } = factorsOf(given.wide);
    const size = sizeOf(kind, value);
    for (const convert of [() => productToLora(up, down, size), () => denseToLora(product(up, down), size)]) {
      expect(convert).toThrow(AdapterConfigError);
      expect(convert).toThrow(text);
    }
  });
});

it.each([-1, 2.5, Number.NaN, Number.POSITIVE_INFINITY])("refuses a rank of %d", (rank) => {
  expect(() => checkLoraSize({ rank })).toThrow(AdapterConfigError);
});

describe("properties", () => {
  const sumOfSquares = ({ data }: Matrix): number => data.reduce((sum, value) => sum + value * value, 0);
  const error = (update: Matrix, { a, b }: LoraFactors): number => {
    const approximation = product(b, a);
    return sumOfSquares({ ...update, data: update.data.map((value, k) => value - approximation.data[k]) });
  };

  it("a rank leaves out exactly the squares of the smaller singular values; rank r leaves out nothing", () => {
    fc.assert(
      fc.property(drawnFactors, fc.integer({ min: 1, max: 9 }), ({ up, down }, wanted) => {
        const update = product(up, down);
        const rank = Math.min(wanted, up.rows, down.columns);
        const { values } = productSvd(up, down);
        const room = 1e-12 * (16 * up.columns) ** 2 * update.data.length;
        for (const found of [productToLora(up, down, { rank }), denseToLora(update, { rank })]) {
          expect([found.b.rows, found.b.columns, found.a.rows, found.a.columns]).toEqual([up.rows, rank, rank, down.columns]);
          expectOrthonormal(found.a);
          const left = values.slice(rank).reduce((sum, value) => sum + value * value, 0);
          expect(Math.abs(error(update, found) - left)).toBeLessThanOrEqual(room);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("an energy is reached, and one term fewer would not do", () => {
    const share = fc.integer({ min: 1, max: 999 }).map((thousandths) => thousandths / 1000);
    fc.assert(
      fc.property(drawnOfShape(6, 7), share, (update, energy) => {
        const total = sumOfSquares(update);
        const found = denseToLora(update, { energy });
        expect(error(update, found)).toBeLessThanOrEqual((1 - energy + 1e-12) * total);
        if (found.a.rows > 1)
          expect(error(update, denseToLora(update, { rank: found.a.rows - 1 }))).toBeGreaterThan((1 - energy - 1e-12) * total);
      }),
    );
  });

  it("a zero update has one term, whatever the energy", () => {
    const found = productToLora(matrixOf(4, 2, () => 0), matrixOf(2, 3, () => 1), { energy: 1 });
    expect([found.a.rows, found.b.columns]).toEqual([1, 1]);
    expect(largest(found.b)).toBe(0);
    expectOrthonormal(found.a);
  });
});

describe("a layer", () => {
  const f64 = { dtype: "f64", device: "cpu" } as const;
  const difference = async (layer: Parameters<typeof layerToLora>[0], weight: Parameters<typeof layerToLora>[1], size: LoraSize | null) => {
    const { a, b } = await layerToLora(layer, weight, size);
    const change = weight && layer.needsBase ? sub(layer.merged(weight, weight, (x) => x), weight) : layer.deltaWeight();
    const lora = matmul(tensor(b.data, { ...f64, shape: [b.rows, b.columns] }), tensor(a.data, { ...f64, shape: [a.rows, a.columns] }));
    return { rank: a.rows, distance: (await norm(sub(lora, change)).item()) / (await norm(change).item()) };
  };

  it("of DeLoRA: its factors as they are, and by rank and energy", async () => {
    const weight = [[1, 2, 0, -1], [2, 0, 1, 1], [0, -2, 2, 1]];
    const layer = layerOf(weight, [[1, 0, -1, 2], [0.5, 0.5, 0.5, 0.5]], [[3, 0], [0, 1], [4, 1]], 3);
    for (const size of [null, { rank: 2 }, { rank: 3 }, { energy: 1 }]) {
      const { rank, distance } = await difference(layer, null, size);
      expect(rank).toBe(size && "rank" in size ? size.rank : 2);
      expect(distance).toBeLessThan(1e-14);
    }
    expect((await difference(layer, null, { rank: 1 })).distance).toBeGreaterThan(0.1);
    expect((await layer.a.data()).length).toBe(8);
  });

  it("of LoRA and DoRA; DoRA needs its base and a size", async () => {
    manualSeed(2);
    const weight = randn([5, 4], f64);
    const config = { r: 2, loraAlpha: 4, initLoraWeights: false };
    const lora = new LoraConfig(config).createLayer(weight, "layer");
    expect(lora).toBeInstanceOf(LoraLayer);
    expect((await difference(lora, null, null)).distance).toBeLessThan(1e-14);
    expect((await lora.parameters()[0].data()).length).toBe(8);
    const dora = new LoraConfig({ ...config, useDora: true }).createLayer(weight, "layer");
    const magnitude = dora.parameters().find(({ shape }) => shape.length === 1)!;
    magnitude.assign(add(mul(magnitude, 1.5), 0.1));
    expect((await difference(dora, weight, { rank: 4 })).distance).toBeLessThan(1e-13);
    expect((await difference(dora, weight, { energy: 0.5 })).distance).toBeLessThan(Math.sqrt(0.5));
    await expect(layerToLora(dora, weight, null)).rejects.toThrow("choose the rank");
    await expect(layerToLora(dora, null, { rank: 1 })).rejects.toThrow("beside the base model");
  });
});
