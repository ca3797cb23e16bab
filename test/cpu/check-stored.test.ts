import { afterEach, describe, expect, it, vi } from "vitest";
import { storedFault } from "../../src/cpu/check-stored.ts";
import type { Engine } from "../../src/cpu/engine.ts";
import { currentKernels } from "../../src/cpu/launch.ts";
import { weightFault } from "../../src/cpu/stored.ts";
import { VARIANTS } from "../../src/cpu/variants.ts";
import { gemmBlocks } from "../../src/cpu/wasm/gemm-kernel.ts";
import type { ArgumentKind, Kernel } from "../../src/cpu/wasm/kernel.ts";
import { WEIGHT_FORMATS } from "../../src/cpu/wasm/stored-decoder.ts";
import { decodeRuns, linearRows } from "../../src/cpu/wasm/stored-kernels.ts";
import { fromArray } from "../../src/ops/device.ts";
import * as ops from "../../src/ops/index.ts";
import { quantizeBlocks } from "../../src/tensor/blocks.ts";


const engines = VARIANTS.flatMap(({ name, create }): [string, Engine][] => {
  const engine = create("all")?.engine;
  return engine ? [[name, engine]] : [];
});
const { engine } = currentKernels();
if (!engine) console.warn("not run: what proves the kernels of stored weights, which are off");

afterEach(() => vi.restoreAllMocks());

/** Let a kernel get one element of what it writes wrong, by little. */
function bend(on: Engine, kernel: Kernel, output: string, element: number): void {
  const launch = on.launch.bind(on) as Engine["launch"];
  vi.spyOn(on, "launch").mockImplementation((launched, values, options) => {
    const isDone = launch(launched, values, options);
    const array = (values as Record<string, unknown>)[output];
    if ((launched as unknown) === kernel && array instanceof Float32Array) array[element] += 1e-4;
    return isDone;
  });
}

const kernelOf = (kernel: unknown): Kernel => kernel as Kernel<Readonly<Record<string, ArgumentKind>>>;

describe.each(engines)("variant %s", (_, own) => {
  it.each(WEIGHT_FORMATS)("reads weights in %s right, which is found out soon", (format) => {
    storedFault(own, "f16");
    const began = performance.now();
    expect(storedFault(own, format)).toBe(null);
    expect(performance.now() - began).toBeLessThan(500);
  });

  it.each(WEIGHT_FORMATS)("is found out where its product of few rows in %s is wrong", (format) => {
    bend(own, kernelOf(linearRows[format]), "y", 33);
    expect(storedFault(own, format)).toMatch(/^few rows: element \(4, 5\) is -?[\d.e-]+, not/);
  });

  it.each(WEIGHT_FORMATS.slice(1))("is found out where it decodes %s wrong, in a run that is not whole", (format) => {
    bend(own, kernelOf(decodeRuns[format as "f16"]), "out", 270);
    expect(storedFault(own, format)).toMatch(/^decoded, element 270 is/);
  });

  it("is found out where its product of many rows is wrong", () => {
    bend(own, kernelOf(gemmBlocks), "c", 8);
    expect(storedFault(own, "q8_0")).toMatch(/^many rows, NT: element \(1, 1\)/);
  });
});

it.skipIf(!engine)("wrong kernels of a format are not used, aloud and once, and those of others are", () => {
  const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
  const own = engine as Engine;
  bend(own, kernelOf(linearRows.q4_0), "y", 0);
  const values = Float32Array.from({ length: 40 * 64 }, (_, i) => Math.sin(i));
  const bits = quantizeBlocks("q4_0", values) as Uint8Array;
  const weight = fromArray(bits, [40, 64], "q4_0", "cpu");
  const plain = ops.cast(weight, { dtype: "f32" });
  for (const rows of [1, 30]) {
    const x = ops.randn([rows, 64], { device: "cpu" });
    const [got, right] = [ops.linear(x, weight), ops.linear(x, plain)].map((y) => y.dataSync());
    expect(Math.max(...got.map((value, i) => Math.abs(value - right[i])))).toBeLessThan(1e-5);
  }
  const launched = vi.mocked(own.launch).mock.calls.map(([kernel]) => kernel.name);
  expect(launched.filter((name) => name.endsWith("q4_0")).length).toBeLessThanOrEqual(2);
  expect(warn.mock.calls.map(([message]) => String(message))).toEqual([
    expect.stringMatching(/^the CPU kernels for weights in q4_0 give wrong results here, plain loops decode instead: few rows: element \(0, 0\)/),
  ]);
  expect(weightFault("q8_0")).toBe(null);
});
