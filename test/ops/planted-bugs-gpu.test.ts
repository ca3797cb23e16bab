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

it.each(
  [
    { op: planted.wrongIndex, law: KERNEL, says: /f32 on webgpu .*forward: element/ },
    { op: planted.hardCodedEps, law: KERNEL, says: /f32 on webgpu .*forward: element/ },
    { op: planted.overrun, law: KERNEL, says: /a kernel wrote behind the end of .*overrun/ },
    {
      op: planted.misreadPacked,
      law: "weight in bf16 gives on the GPU what its decoded values give, forward and backward",
      says: /bf16 \(fast\), forward: element/,
    },
    {
      op: planted.leaky,
      law: "repeated calls leave the number of live storages on the GPU unchanged",
      says: /3 calls in tidy\(\) left 3 storages more on webgpu/,
    },
  ].map(({ op, ...rest }) => ({ name: op.spec.name, op, ...rest })),
)("catches $name", async ({ op, law, says }) => {
  const broken = await planted.brokenLaws(op, "webgpu");
  expect(broken.get(law)).toMatch(says);
});

it("finds nothing wrong with a sound op, even after one that wrote where it must not", async () => {
  expect(await planted.brokenLaws(planted.soundOp, "webgpu")).toEqual(new Map());
  expect(await planted.brokenLaws(planted.soundPacked, "webgpu")).toEqual(new Map());
});
