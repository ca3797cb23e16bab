import { afterAll, beforeAll, expect, it } from "vitest";
import { closeDevice, openDevice } from "../../src/ops/init.ts";
import { useTestDriver } from "../driver.ts";
import * as planted from "./planted-ops.ts";

beforeAll(async () => {
  useTestDriver();
  await openDevice("webgpu");
});
afterAll(closeDevice);

const KERNEL = "its kernel on the GPU agrees with the f64 reference, forward and backward";

it("finds nothing wrong with a sound op", async () => {
  expect(await planted.brokenLaws(planted.soundOp, "webgpu")).toEqual([]);
});

it.each(
  [
    { op: planted.wrongIndex, law: KERNEL },
    { op: planted.hardCodedEps, law: KERNEL },
    { op: planted.overrun, law: KERNEL },
    { op: planted.leaky, law: "repeated calls leave the number of live storages on the GPU unchanged" },
  ].map(({ op, law }) => ({ name: op.spec.name, op, law })),
)("catches $name", async ({ op, law }) => {
  expect(await planted.brokenLaws(op, "webgpu")).toContain(law);
});
