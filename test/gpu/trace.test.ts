import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { closeDevice, openDevice } from "../../src/ops/init.ts";
import { add, linear, tensor } from "../../src/ops/index.ts";
import { useTestDriver } from "../driver.ts";

const lines: string[] = [];

beforeAll(async () => {
  useTestDriver();
  vi.stubEnv("POLARGRAD_TRACE", "1");
  vi.spyOn(console, "error").mockImplementation((line: string) => void lines.push(line));
  await openDevice("webgpu");
});
afterAll(async () => {
  await closeDevice();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

it("prints each dispatch in order with its time, grid and bytes, and leaves results as they are", async () => {
  const x = tensor(new Float32Array(64 * 64).fill(1), { shape: [64, 64], device: "webgpu" });
  const y = add(linear(x, x), 1);
  expect(new Set(await y.data())).toEqual(new Set([65]));
  await vi.waitFor(() => expect(lines).toHaveLength(2));
  const [first, second] = lines.map((line) => line.split("\t"));
  expect(first[2]).toContain("gemm NT");
  expect(second.slice(2)).toEqual(["add", "16x1x1", `${2 * 16384 + 4} B`]);
  for (const [, time] of [first, second]) {
    // Adapters without timestamp queries have no times.
    expect(time).toMatch(/^ *(\d+\.\d|-) µs$/);
    if (!time.includes("-")) expect(Number.parseFloat(time)).toBeLessThan(60e6);
  }
});
