import { expect, it, vi } from "vitest";
import { checkCpuKernels } from "../../src/cli/cpu-check.ts";
import { cpuKernels } from "../../src/cpu/launch.ts";
import { defineOp } from "../../src/ops/define-op.ts";

const hasKernels = cpuKernels().variant !== "off";
const factOf = (facts: ReturnType<typeof checkCpuKernels>["facts"], name: string): string | undefined =>
  facts.find(([own]) => own === name)?.[1];

it("names the variant, and the kernels that are right", () => {
  const { facts, wrong } = checkCpuKernels();
  expect(factOf(facts, "CPU")).toMatch(/^variant (off|128|relaxed|256): .*; \d+ threads?$/);
  const right = hasKernels ? expect.stringMatching(/^right here: .*\bmatmul, .*linear, .*weights in f32, .*weights in q4_1$/) : undefined;
  expect(factOf(facts, "CPU kernels")).toEqual(right);
  expect(wrong).toEqual([]);
});

it.skipIf(!hasKernels)("names one that is wrong, and says nothing elsewhere", () => {
  const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  const wrongCopy = defineOp("wrongCopy", "x[*] -> y[*]", {
    reference({ x }, y) {
      y.set(x);
    },
    fast: {
      simd(_, y) {
        y.fill(7);
        return true;
      },
    },
  });
  const { facts, wrong } = checkCpuKernels([wrongCopy]);
  expect(wrong).toEqual([expect.stringMatching(/^WRONG on the CPU, not used: wrongCopy: element 0 is 7, not/)]);
  expect(factOf(facts, "CPU kernels")).not.toContain("wrongCopy");
  expect(warn).not.toHaveBeenCalled();
});
