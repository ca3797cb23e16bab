import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { liveCpuStorages } from "../../src/tensor/cpu-storage.ts";
import { testSeed } from "../../src/testing/random.ts";
import { programs, runProgram } from "./random-program.ts";

describe("random programs on the CPU", () => {
  it("give the same bits with memory freed and used again as without, and leave none behind", () =>
    fc.assert(
      fc.asyncProperty(programs, async (program) => {
        const freed = await runProgram(program, "cpu", true);
        const before = liveCpuStorages();
        expect(await runProgram(program, "cpu", true)).toEqual(freed);
        expect(liveCpuStorages()).toBe(before);
        expect(await runProgram(program, "cpu", false)).toEqual(freed);
      }),
      { numRuns: Number(process.env.RUNS ?? 60), seed: testSeed() },
    ));
});
