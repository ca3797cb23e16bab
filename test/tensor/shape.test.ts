import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  broadcastShapes,
  broadcastStrides,
  formatShape,
  resolveAxis,
  sameShape,
  sizeOf,
  stridesOf,
} from "../../src/tensor/shape.ts";
import { stridedOffset } from "../../src/tensor/strided.ts";
import { shapes } from "../../src/testing/index.ts";

const any = shapes({ maxRank: 4, maxSize: 4 });

describe("broadcastShapes", () => {
  it("is commutative, idempotent, and has the scalar as its unit", () => {
    fc.assert(
      fc.property(any, any, (a, b) => {
        expect(broadcastShapes(a, b)).toEqual(broadcastShapes(b, a));
        expect(broadcastShapes(a, a)).toEqual(a);
        expect(broadcastShapes(a, [])).toEqual(a);
      }),
    );
  });

  it("is associative where it is defined", () => {
    const narrow = fc.array(fc.constantFrom(1, 3), { maxLength: 3 });
    fc.assert(
      fc.property(narrow, narrow, narrow, (a, b, c) => {
        const left = broadcastShapes(broadcastShapes(a, b) ?? [], c);
        expect(left).toEqual(broadcastShapes(a, broadcastShapes(b, c) ?? []));
      }),
    );
  });

  it.each([
    [
      [2, 1],
      [1, 3],
      [2, 3],
    ],
    [[0], [1], [0]],
    [[2, 3], [3], [2, 3]],
  ])("%j and %j give %j", (a, b, out) => {
    expect(broadcastShapes(a, b)).toEqual(out);
  });

  it.each([
    [[2], [3]],
    [[0], [2]],
    [[2, 3], [2]],
  ])("%j and %j do not broadcast", (a, b) => {
    expect(broadcastShapes(a, b)).toBeNull();
  });
});

describe("strides", () => {
  it("number the elements of a dense shape in order", () => {
    fc.assert(
      fc.property(any, (shape) => {
        const offsets = Array.from({ length: sizeOf(shape) }, (_, i) =>
          stridedOffset(i, shape, stridesOf(shape)),
        );
        expect(offsets).toEqual(offsets.map((_, i) => i));
      }),
    );
  });

  it("read a broadcast operand within its own elements, each equally often", () => {
    fc.assert(
      fc.property(
        shapes({ minSize: 1, maxRank: 3, maxSize: 3 }),
        fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
        fc.nat(3),
        (to, ones, drop) => {
          const from = to.map((d, i) => (ones[i] ? 1 : d)).slice(Math.min(drop, to.length));
          const strides = broadcastStrides(from, to);
          const counts = new Array<number>(sizeOf(from)).fill(0);
          for (let i = 0; i < sizeOf(to); i++) counts[stridedOffset(i, to, strides)]++;
          expect(new Set(counts)).toEqual(new Set([sizeOf(to) / sizeOf(from)]));
        },
      ),
    );
  });
});

describe("axes and formats", () => {
  it("resolves negative axes and refuses what is out of range", () => {
    expect([resolveAxis(-1, 3), resolveAxis(0, 3), resolveAxis(2, 3)]).toEqual([2, 0, 2]);
    expect([resolveAxis(3, 3), resolveAxis(-4, 3), resolveAxis(0.5, 3), resolveAxis(0, 0)]).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });

  it("prints shapes", () => {
    expect([formatShape([2, 3]), formatShape([]), formatShape([0])]).toEqual(["2×3", "scalar", "0"]);
    expect([sameShape([], []), sameShape([1], []), sameShape([2, 3], [2, 3])]).toEqual([true, false, true]);
  });
});
