import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { closeDevice, currentGpu, openDevice } from "../../src/ops/init.ts";
import { testSeed } from "../../src/testing/random.ts";
import { useTestDriver } from "../driver.ts";
import { programs, runProgram } from "./random-program.ts";

beforeAll(async () => {
  useTestDriver();
  await openDevice("webgpu");
});
afterAll(closeDevice);

const live = (): number | undefined => currentGpu()?.pool.counts.live;

describe("random programs on the GPU", () => {
  it("give the same bits with buffers freed and used again as without, and leave none behind", () =>
    fc.assert(
      fc.asyncProperty(programs, async (program) => {
        const freed = await runProgram(program, "webgpu", true);
        const before = live();
        expect(await runProgram(program, "webgpu", true)).toEqual(freed);
        expect(live()).toBe(before);
        expect(await runProgram(program, "webgpu", false)).toEqual(freed);
      }),
      { numRuns: 12, seed: testSeed() },
    ));
});
