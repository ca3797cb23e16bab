import { afterEach, describe, expect, it } from "vitest";
import { rand, randn } from "../../src/ops/index.ts";
import {
  getGeneratorState,
  manualSeed,
  nextStream,
  philox,
  setGeneratorState,
} from "../../src/tensor/generator.ts";

afterEach(() => manualSeed(0));

const hex = (words: Uint32Array): string[] => [...words].map((word) => word.toString(16).padStart(8, "0"));

describe("philox", () => {
  // The known answers that the authors' Random123 library is tested with (kat_vectors, philox4x32 10).
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      ["6627e8d5", "e169c58d", "bc57ac4c", "9b00dbd8"],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      ["408f276d", "41c83b0e", "a20bc7c6", "6d5451fd"],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      ["d16cfe09", "94fdcceb", "5001e420", "24126ea1"],
    ],
  ] as const)("counter %j with key %j", (counter, key, expected) => {
    const out = new Uint32Array(4);
    philox(counter, key, out);
    expect(hex(out)).toEqual(expected);
  });
});

describe("generator", () => {
  it("repeats from a seed and resumes from a state", async () => {
    manualSeed(42);
    const first = await rand([5]).data();
    const state = getGeneratorState();
    const second = await randn([5]).data();
    expect(second).not.toEqual(first);
    setGeneratorState(state);
    expect(await randn([5]).data()).toEqual(second);
    manualSeed(42);
    expect(await rand([5]).data()).toEqual(first);
  });

  it("gives every random op a stream of its own", () => {
    manualSeed(7);
    expect([nextStream(), nextStream()]).toEqual([
      { seed: 7, stream: 0 },
      { seed: 7, stream: 1 },
    ]);
    expect(getGeneratorState()).toEqual({ seed: 7, draws: 2 });
  });

  it("has the moments of its distributions", async () => {
    manualSeed(1);
    const u = await rand([20_000], { low: -1, high: 3, dtype: "f64" }).data();
    const z = await randn([20_000], { std: 2, dtype: "f64" }).data();
    const mean = (a: ArrayLike<number>): number => Array.from(a).reduce((s, v) => s + v, 0) / a.length;
    expect(mean(u)).toBeCloseTo(1, 1);
    expect(Math.min(...u)).toBeGreaterThanOrEqual(-1);
    expect(Math.max(...u)).toBeLessThan(3);
    expect(mean(z)).toBeCloseTo(0, 1);
    expect(mean(z.map((v: number) => v * v))).toBeCloseTo(4, 0);
  });
});
