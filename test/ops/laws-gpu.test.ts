import { afterAll, beforeAll, describe, it } from "vitest";
import { closeDevice, openDevice } from "../../src/ops/init.ts";
import { allOps } from "../../src/ops/index.ts";
import { opLaws } from "../../src/testing/index.ts";
import { useTestDriver } from "../driver.ts";

beforeAll(async () => {
  useTestDriver();
  await openDevice("webgpu");
});
afterAll(closeDevice);

describe.each(allOps.map((op) => ({ name: op.spec.name, op })))("$name", ({ op }) => {
  for (const law of opLaws(op, { device: "webgpu" })) it(law.name, law.run);
});
