import { describe, it } from "vitest";
import { allOps } from "../../src/ops/index.ts";
import { opLaws } from "../../src/testing/index.ts";

describe.each(allOps.map((op) => ({ name: op.spec.name, op })))("$name", ({ op }) => {
  for (const law of opLaws(op, { device: "cpu" })) it(law.name, law.run);
});
