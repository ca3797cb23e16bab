// The suite is only as good as what it catches: wrong ops, and the laws that must find them.
import { describe, expect, it } from "vitest";
import { LawError, opLaws } from "../../src/testing/index.ts";
import * as planted from "./planted-ops.ts";

const GRADIENT = "its gradient equals finite differences of the f64 reference";
const F32 = "f32 on the CPU agrees with the f64 reference, forward and backward";

const CAUGHT_BY = [
  { op: planted.wrongFormula, law: GRADIENT },
  { op: planted.missingTranspose, law: GRADIENT },
  { op: planted.forgottenSum, law: GRADIENT },
  { op: planted.passedThrough, law: GRADIENT },
  { op: planted.droppedEps, law: GRADIENT },
  { op: planted.falseConstant, law: GRADIENT },
  { op: planted.hardCodedEps, law: F32 },
  { op: planted.lostSecond, law: "its second derivatives equal finite differences of its gradient" },
  { op: planted.eager, law: "its gradient computes nothing before it is asked for" },
  { op: planted.wrongDecompose, law: "agrees with its decompose, and so does its gradient" },
  { op: planted.fickle, law: "the same call gives the same bits on the CPU" },
  { op: planted.leaky, law: "repeated calls leave the number of live storages on the CPU unchanged" },
];

describe("planted bugs", () => {
  it("finds nothing wrong with a sound op", async () => {
    expect(await planted.brokenLaws(planted.soundOp, "cpu")).toEqual([]);
  });

  it.each(CAUGHT_BY.map(({ op, law }) => ({ name: op.spec.name, op, law })))(
    "catches $name",
    async ({ op, law }) => {
      expect(await planted.brokenLaws(op, "cpu")).toContain(law);
    },
  );

  it("says which call broke which law, and how to repeat it", async () => {
    const [law] = opLaws(planted.droppedEps, { device: "cpu", seed: 4 }).filter(({ name }) =>
      name.endsWith(GRADIENT),
    );
    const error = await law.run().catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(LawError);
    expect((error as LawError).message).toMatch(
      /droppedEps: has a wrong gradient by x: .*\n {2}in droppedEps\(x .*"eps":.*\n {2}repeat it with POLARGRAD_SEED=4/,
    );
  });
});
