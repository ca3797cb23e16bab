import { describe, expect, it } from "vitest";
import { argmaxOf, distribution, sampleFrom } from "../../src/nn/sampling.ts";

const all = { temperature: 1, topK: 0, topP: 1 };
const logs = (...weights: number[]): number[] => weights.map(Math.log);

describe("sampling", () => {
  it("takes the first of several largest scores, and refuses NaN and infinity", () => {
    expect(argmaxOf([1, 3, 3, 2])).toBe(1);
    expect(() => argmaxOf([1, Number.NaN])).toThrow("the score of token 1 is NaN");
    expect(() => sampleFrom([1, Number.POSITIVE_INFINITY], all, 0.5)).toThrow(
      "the score of token 1 is Infinity",
    );
  });

  it("keeps the k best and ties of the last", () => {
    expect(distribution([1, 4, 2, 3, 3], { ...all, topK: 2 }).ids).toEqual([1, 3, 4]);
    expect(distribution([1, 4], { ...all, topK: 5 }).ids).toEqual([0, 1]);
  });

  it("keeps the smallest set that reaches topP, at least one", () => {
    const scores = logs(0.5, 0.1, 0.3, 0.1);
    expect(distribution(scores, { ...all, topP: 0.4 }).ids).toEqual([0]);
    expect(distribution(scores, { ...all, topP: 0.7 }).ids).toEqual([0, 2]);
    expect(distribution(scores, { ...all, topP: 0.85 }).ids).toEqual([0, 1, 2]);
    expect(distribution(scores, { ...all, topP: 1e-9 }).ids).toEqual([0]);
  });

  it("applies the temperature before topP, and topK before topP", () => {
    const scores = logs(0.4, 0.3, 0.2, 0.1);
    expect(distribution(scores, { temperature: 0.1, topK: 0, topP: 0.9 }).ids).toEqual([0]);
    // Of the two best, the first has 4/7 of what is left.
    expect(distribution(scores, { temperature: 1, topK: 2, topP: 0.5 }).ids).toEqual([0]);
    expect(distribution(scores, { temperature: 1, topK: 0, topP: 0.5 }).ids).toEqual([0, 1]);
  });

  it("draws in proportion to the probabilities", () => {
    const counts = [0, 0, 0];
    for (let i = 0; i < 1000; i++) counts[sampleFrom(logs(0.2, 0.5, 0.3), all, (i + 0.5) / 1000)]++;
    expect(counts).toEqual([200, 500, 300]);
    expect(sampleFrom([0, Number.NEGATIVE_INFINITY], all, 1 - 2 ** -53)).toBe(0);
  });
});
