import { afterEach, expect, it, vi } from "vitest";
import { kernelFault } from "../../src/cpu/self-check.ts";
import { defineOp } from "../../src/ops/define-op.ts";
import * as ops from "../../src/ops/index.ts";

/** Doubles, with a kernel that forgets every fourth element or does not. */
const doubled = (name: string, isWrong: boolean) =>
  defineOp(name, "x[*, d] -> y[*, d]", {
    reference({ x }, y) {
      for (let i = 0; i < y.length; i++) y[i] = 2 * x[i];
    },
    fast: {
      simd({ x }, y) {
        for (let i = 0; i < y.length; i++) y[i] = isWrong && i % 4 === 3 ? 0 : 2 * x[i];
        return true;
      },
    },
  });

afterEach(() => vi.restoreAllMocks());

it("a CPU kernel that is wrong here is not used, aloud and once", () => {
  const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  const wrong = doubled("wrongDouble", true);
  const x = ops.tensor([1, 2, 3, 4, 5, 6, 7, 8], { shape: [2, 4], device: "cpu" });
  for (let i = 0; i < 2; i++) expect([...wrong(x).dataSync()]).toEqual([2, 4, 6, 8, 10, 12, 14, 16]);
  expect(warn).toHaveBeenCalledTimes(1);
  expect(String(warn.mock.calls[0][0])).toMatch(/the CPU kernel of wrongDouble gives wrong results here.*element 3 is 0, not/);
});

it("a right one is", () => {
  const warn = vi.fn();
  expect(kernelFault(doubled("rightDouble", false).spec, warn)).toBe(null);
  expect(warn).not.toHaveBeenCalled();
});

const withKernel = Object.values(ops).flatMap((op) => {
  const spec = typeof op === "function" && "spec" in op ? (op as { spec: Parameters<typeof kernelFault>[0] }).spec : null;
  return spec?.fast?.simd ? [[spec.name, spec] as const] : [];
});
it.each(withKernel)("%s proves itself in a few milliseconds", (_, spec) => {
  kernelFault(doubled("first", false).spec);
  const warn = vi.fn();
  const began = performance.now();
  expect(kernelFault(spec, warn)).toBe(null);
  expect(performance.now() - began).toBeLessThan(1000);
  expect(warn).not.toHaveBeenCalled();
});
