// The suite is only as good as what it catches: wrong ops, and the laws that must find them.
import { describe, expect, it } from "vitest";
import { LawError, opLaws } from "../../src/testing/index.ts";
import * as planted from "./planted-ops.ts";

const GRADIENT = "its gradient equals finite differences of the f64 reference";
const READS = "its gradient reads on the CPU what its declaration says, and nothing else";
const F32 = "f32 on the CPU agrees with the f64 reference, forward and backward";

const CAUGHT_BY = [
  { op: planted.wrongFormula, law: GRADIENT, says: /wrong gradient by x/ },
  { op: planted.missingTranspose, law: GRADIENT, says: /wrong gradient by a/ },
  { op: planted.forgottenSum, law: GRADIENT, says: /its gradient for an input of shape .* has shape/ },
  { op: planted.passedThrough, law: GRADIENT, says: /wrong gradient by x/ },
  { op: planted.droppedEps, law: GRADIENT, says: /wrong gradient by x/ },
  { op: planted.falseConstant, law: GRADIENT, says: /declared constant in b/ },
  { op: planted.hardCodedEps, law: F32, says: /f32 on cpu, forward: element/ },
  {
    op: planted.lostSecond,
    law: "its second derivatives equal finite differences of its gradient",
    says: /wrong second derivative by x/,
  },
  {
    op: planted.eager,
    law: "its gradient computes nothing before it is asked for",
    says: /its vjp made 1 tensors/,
  },
  { op: planted.unsaidRead, law: READS, says: /its gradient by a reads b, which its declaration does not say/ },
  { op: planted.idleRead, law: READS, says: /its gradient by x reads x in no call/ },
  {
    op: planted.wrongDecompose,
    law: "agrees with its decompose, and so does its gradient",
    says: /against its decompose/,
  },
  {
    op: planted.misreadPacked,
    law: "weight in bf16 gives on the CPU what its decoded values give, forward and backward",
    says: /bf16 \(fast\), forward: element/,
  },
  { op: planted.fickle, law: "the same call gives the same bits on the CPU", says: /the second time/ },
  {
    op: planted.leaky,
    law: "repeated calls leave the number of live storages on the CPU unchanged",
    says: /3 calls in tidy\(\) left 3 storages more/,
  },
];

describe("planted bugs", () => {
  it("finds nothing wrong with a sound op", async () => {
    expect(await planted.brokenLaws(planted.soundOp, "cpu")).toEqual(new Map());
    expect(await planted.brokenLaws(planted.soundPacked, "cpu")).toEqual(new Map());
  });

  it.each(CAUGHT_BY.map(({ op, ...rest }) => ({ name: op.spec.name, op, ...rest })))(
    "catches $name",
    async ({ op, law, says }) => {
      const broken = await planted.brokenLaws(op, "cpu");
      expect(broken.get(law)).toMatch(says);
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
