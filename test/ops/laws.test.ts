import { describe, expect, it } from "vitest";
import { allOps } from "../../src/ops/index.ts";
import { opLaws } from "../../src/testing/index.ts";

describe.each(allOps.map((op) => ({ name: op.spec.name, op })))("$name", ({ op }) => {
  for (const law of opLaws(op, { device: "cpu" })) it(law.name, law.run);
});

it("keeps on the tape only what a gradient reads: every vjp says what that is", () => {
  expect(allOps.filter(({ spec }) => spec.vjp && !spec.reads).map(({ spec }) => spec.name)).toEqual([]);
});
