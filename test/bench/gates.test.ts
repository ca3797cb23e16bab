import { describe, expect, it } from "vitest";
import { type Measurement, verdictOf } from "../../bench/harness/figure.ts";
import { expectAgreement, expectLosses, expectSmall, expectUntrained } from "../../bench/harness/gates.ts";
import { logLogSlope, median } from "../../bench/harness/statistics.ts";

describe("gates refuse what is wrong", () => {
  it.each([
    ["a loss beside the known one", () => expectLosses([2.399], { 0: 2.4 }), "the loss of step 0 is 2.399, not 2.4"],
    ["a loss that is no number", () => expectLosses([Number.NaN], { 0: 2.4 }), "the loss of step 0 is NaN"],
    ["no step of a known loss", () => expectLosses([], { 0: 2.4 }), "no step ran"],
    ["a first loss unlike the peer's", () => expectAgreement([2.001], [2], "PEFT"), "the loss of step 0 is 2.001, but 2 in PEFT"],
    ["a later loss unlike the peer's", () => expectAgreement([2, 1.9], [2, 1.89], "PEFT"), "the loss of step 1 is 1.9, but 1.89 in PEFT"],
    ["no loss to compare", () => expectAgreement([2], [], "PEFT"), "no step ran in both"],
    ["a model that is not untrained", () => expectUntrained(3, 512), "the first loss is 3, far from ln(512) = 6.238"],
    ["a large error", () => expectSmall(1e-3, 1e-5), "the relative error is 0.001, above 0.00001"],
    ["an error that is no number", () => expectSmall(Number.NaN, 1e-5), "the relative error is NaN"],
  ])("%s", (_name, check, message) => {
    expect(check).toThrow(message);
  });
});

describe("verdicts", () => {
  const measured = (value: number, peer?: number): Measurement => ({
    value,
    unit: "GFLOPS",
    check: "",
    on: "",
    ...(peer ? { peer: { name: "peer", value: peer } } : {}),
    targets: { value: { better: "higher", reach: 85, firstLook: 45 }, ratio: { better: "higher", reach: 0.85 } },
  });

  it.each([
    [measured(90, 100), "reached"],
    [measured(50), "first look"],
    [measured(40), "short"],
    [measured(90, 200), "short"],
    [{ value: 1, unit: "ms", check: "", on: "" }, ""],
    [{ ...measured(0.5, 1), targets: { ratio: { better: "lower" as const, reach: 0.5 } } }, "reached"],
  ])("%#: %o", (measurement, verdict) => {
    expect(verdictOf(measurement)).toBe(verdict);
  });
});

it("finds the exponent of a power law, and the middle", () => {
  expect(logLogSlope([1, 2, 4, 16].map((x) => [x, 3 * x ** 1.5]))).toBeCloseTo(1.5, 12);
  expect(median([3, 1, 2])).toBe(2);
});
