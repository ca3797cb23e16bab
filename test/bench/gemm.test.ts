import { expect, it } from "vitest";
import { gemm, type GemmOptions } from "../../bench/sides/gemm.ts";

const SHAPES: GemmOptions[] = [
  { device: "cpu", mode: "NN", m: 12, n: 20, k: 7 },
  { device: "cpu", mode: "NT", m: 12, n: 20, k: 7 },
  { device: "cpu", mode: "NT", m: 33, n: 4, k: 9, backward: true },
];

it.each(SHAPES)("the product of %o is checked, and timed one by one", async (options) => {
  const { facts, run } = await gemm(options);
  expect(Number(facts.error)).toBeLessThan(1e-6);
  const { times } = await run(5);
  expect(times).toHaveLength(5);
  expect(Math.min(...times)).toBeGreaterThan(0);
});
