import { afterAll, beforeAll, describe, it } from "vitest";
import { allOps, closeDevice, currentGpu } from "../../src/ops/index.ts";
import { openDevice } from "../../src/ops/init.ts";
import { opLaws } from "../../src/testing/index.ts";
import { useTestDriver } from "../driver.ts";

// The kernels of hardware, on the adapter at hand.
beforeAll(async () => {
  useTestDriver();
  await openDevice("webgpu");
  const profile = currentGpu()?.profile;
  if (!profile) throw new Error("no GPU");
  Object.assign(profile, { isSoftware: false });
});
afterAll(closeDevice);

const CHOOSES = /^(matmul.*|linear(Dx|Dweight)?|deloraUp.*)$/;
const choosing = allOps.filter((op) => CHOOSES.test(op.spec.name));

describe.each(choosing.map((op) => ({ name: op.spec.name, op })))("$name", ({ op }) => {
  for (const law of opLaws(op, { device: "webgpu" })) it(law.name, law.run);
});
