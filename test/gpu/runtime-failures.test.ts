import { spawnSync } from "node:child_process";
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import {
  GpuDeviceLostError,
  GpuLimitError,
  GpuValidationError,
} from "../../src/gpu/errors.ts";
import { GpuStorage } from "../../src/gpu/gpu-storage.ts";
import type { KernelSource } from "../../src/gpu/kernel.ts";
import { DisposedError } from "../../src/tensor/errors.ts";
import { openTestGpu } from "../driver.ts";
import { caught } from "./caught.ts";
import { addValue, fill, params } from "./kernels.ts";

let gpu: Gpu;
beforeEach(async () => {
  gpu = await openTestGpu();
});
afterEach(() => vi.unstubAllEnvs());
afterAll(() => gpu.close());

const GRID = [2, 1, 1] as const;
const BROKEN: KernelSource = {
  label: "broken",
  bindings: ["read_write"],
  code: [
    "@group(0) @binding(0) var<storage, read_write> y: array<f32>;",
    "@compute @workgroup_size(1) fn main() {",
    "  y[0] = nope;",
    "}",
  ].join("\n"),
};

async function reopen(env: Record<string, string>): Promise<Gpu> {
  await gpu.close();
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  gpu = await openTestGpu();
  return gpu;
}

describe("refusals leave the device healthy", () => {
  it("names the line of WGSL that does not compile", async () => {
    const y = GpuStorage.allocate(gpu, "f32", 4);
    const refused = caught(() => gpu.stream.dispatch(BROKEN, [y.buffer], params(1, 1), [1, 1, 1]));
    expect(refused).toBeInstanceOf(GpuValidationError);
    expect(refused).toMatchObject({
      kernels: ["broken"],
      message: expect.stringMatching(/line 3, column 10: .*nope/),
    });
    await expect(gpu.stream.compile(BROKEN)).rejects.toThrow(/broken does not compile: line 3/);
    expect(gpu.healthy).toBe(true);
    y.release();
  });

  it("compiles ahead", async () => {
    await gpu.stream.compile(addValue);
    const { pipelines } = gpu.stream.counts;
    await gpu.stream.compile(addValue);
    expect(gpu.stream.counts.pipelines).toBe(pipelines);
  });

  it("refuses wrong uses of a kernel", () => {
    const [x, y] = [GpuStorage.allocate(gpu, "f32", 4), GpuStorage.allocate(gpu, "f32", 4)];
    const run = (buffers: GpuStorage[], grid: [number, number, number], words = params(1, 1)) =>
      gpu.stream.dispatch(
        addValue,
        buffers.map((storage) => storage.buffer),
        words,
        grid,
      );
    const tooWide = caught(() => run([x, y], [65_536, 1, 1]));
    expect(tooWide).toMatchObject({ name: "GpuLimitError", asked: 65_536, max: 65_535 });
    expect(() => run([x, y], [1.5, 1, 1])).toThrow(/addValue: grid/);
    expect(() => run([x, y], [1, 1, 1], new Uint32Array(65))).toThrow(GpuLimitError);
    expect(() => run([x], [1, 1, 1])).toThrow(/addValue: buffers must be 2 buffers, got 1/);
    expect(() => run([x, x], [1, 1, 1])).toThrow(/bound once/);
    const many = { ...addValue, bindings: Array.from({ length: 99 }, () => "read" as const) };
    expect(() => gpu.stream.dispatch(many, [], params(1, 1), [1, 1, 1])).toThrow(
      /maxStorageBuffersPerShaderStage/,
    );
    for (const storage of [x, y]) storage.release();
    expect(() => run([x, y], [1, 1, 1])).toThrow(DisposedError);
    expect(() => gpu.pool.release(x.buffer)).toThrow(/released twice/);
  });

  it("refuses copies and writes outside a buffer", () => {
    const [x, y] = [gpu.pool.acquire(16, "x"), gpu.pool.acquire(16, "y")];
    expect(() => gpu.stream.copy(x, y, 20)).toThrow(/within the 16 bytes of x/);
    expect(() => gpu.stream.copy(x, x, 4)).toThrow(/another buffer/);
    expect(() => gpu.stream.write(x, new Float32Array(4), 4)).toThrow(/within the 16 bytes of x/);
    expect(() => gpu.stream.clear(x, 2)).toThrow(/multiples of 4/);
    for (const buffer of [x, y]) gpu.pool.release(buffer);
  });

  it("refuses f64 and data of another dtype", () => {
    expect(() => GpuStorage.allocate(gpu, "f64", 1)).toThrow(/f64 is computed on the CPU only/);
    expect(() => GpuStorage.upload(gpu, "i32", new Float32Array(1))).toThrow(/an array of i32/);
  });
});

describe("failures end the device", () => {
  // A buffer destroyed behind the pool's back: what WebGPU then refuses is the whole submit.
  async function refuseSubmit(): Promise<GpuStorage> {
    const [x, y] = [GpuStorage.upload(gpu, "f32", new Float32Array(4)), GpuStorage.allocate(gpu, "f32", 4)];
    gpu.stream.dispatch(addValue, [x.buffer, y.buffer], params(4, 1), [1, 1, 1]);
    x.buffer.buffer.destroy();
    return y;
  }

  it.each(["0", "1"])(
    "a refused submit rejects the read and all later ones (POLARGRAD_VALIDATE=%s)",
    async (validate) => {
      await reopen({ POLARGRAD_VALIDATE: validate });
      const y = await refuseSubmit();
      const refused = await y.read().catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(GpuValidationError);
      expect(refused).toMatchObject({
        kernels: expect.arrayContaining(["addValue"]),
        message: expect.stringContaining("destroyed"),
      });
      await expect(y.read()).rejects.toThrow(GpuValidationError);
      expect(gpu.healthy).toBe(false);
      const next = await openTestGpu();
      expect(next).not.toBe(gpu);
      await gpu.close();
    },
  );

  it("a refused submit throws at the flush", async () => {
    await reopen({ POLARGRAD_VALIDATE: "0" });
    await refuseSubmit();
    expect(() => gpu.stream.flush()).toThrow(/refused to run addValue: .*destroyed/);
    await gpu.close();
  });

  it("a loss rejects the pending read, and every later use throws", async () => {
    const y = GpuStorage.upload(gpu, "f32", new Float32Array(1000));
    gpu.stream.dispatch(fill, [y.buffer], params(1000, 1), [16, 1, 1]);
    const pending = y.read();
    gpu.device.destroy();
    await expect(pending).rejects.toThrow(GpuDeviceLostError);
    await expect(y.read()).rejects.toThrow(/device was lost \(destroyed/);
    expect(() => gpu.stream.dispatch(fill, [y.buffer], params(1, 1), GRID)).toThrow(GpuDeviceLostError);
    expect(() => gpu.pool.acquire(4)).toThrow(GpuDeviceLostError);
    y.release();
  });

  it("a loss that nobody has told of yet rejects the read", async () => {
    const y = GpuStorage.upload(gpu, "f32", new Float32Array(10));
    gpu.device.destroy();
    gpu.stream.dispatch(fill, [y.buffer], params(10, 1), [1, 1, 1]);
    await expect(y.read()).rejects.toThrow(GpuDeviceLostError);
  });

  it("closes and opens again, many times", async () => {
    for (let round = 0; round < 5; round++) {
      const y = GpuStorage.allocate(gpu, "f32", 100);
      gpu.stream.dispatch(fill, [y.buffer], params(100, round), GRID);
      expect(await y.read()).toEqual(new Float32Array(100).fill(round));
      const pending = y.read();
      const rejected = expect(pending).rejects.toThrow(/was closed/);
      await gpu.close();
      await rejected;
      expect(() => gpu.stream.flush()).toThrow(/was closed/);
      gpu = await openTestGpu();
    }
  });
});

describe("switches", () => {
  it("POLARGRAD_GUARD=1 names the buffer that a kernel overran", async () => {
    await reopen({ POLARGRAD_GUARD: "1" });
    const [x, y] = [gpu.pool.acquire(400, "x"), gpu.pool.acquire(404, "y")];
    gpu.stream.dispatch(fill, [x], params(100, 1), GRID);
    gpu.stream.dispatch(fill, [y], params(104, 1), GRID); // up to the end of its last 16 bytes
    expect(await gpu.pool.checkGuards()).toEqual([]);
    gpu.stream.dispatch(fill, [x], params(101, 1), GRID);
    expect(await gpu.pool.checkGuards()).toEqual([`x (buffer ${x.id}, 400 bytes)`]);
    expect(await gpu.pool.checkGuards()).toEqual([]);
    gpu.pool.release(y);
    const again = gpu.pool.acquire(416, "again");
    expect(again.id).toBe(y.id);
    gpu.stream.dispatch(fill, [again], params(128, 1), GRID); // far behind the end: clamped into the guard
    gpu.pool.release(again);
    expect(await gpu.pool.checkGuards()).toEqual([`again (buffer ${y.id}, 416 bytes)`]);
    await reopen({ POLARGRAD_GUARD: "0" });
    expect(await gpu.pool.checkGuards()).toEqual([]);
  });

  it("POLARGRAD_GPU_FEATURES=minimal opens a device with WebGPU's defaults", async () => {
    const { profile } = await reopen({ POLARGRAD_GPU_FEATURES: "minimal" });
    expect(profile.features).toEqual({ f16: false, subgroups: false, timestampQuery: false });
    expect(profile.subgroupSize).toBeNull();
    expect(profile.limits).toMatchObject({
      maxStorageBuffersPerShaderStage: 8,
      maxComputeInvocationsPerWorkgroup: 256,
    });
    await gpu.close();
  });
});

describe("leaving the process", () => {
  const program = (end: string) => `
    const { openTestGpu } = await import("./test/driver.ts");
    const { fill, params } = await import("./test/gpu/kernels.ts");
    const gpu = await openTestGpu();
    const y = gpu.pool.acquire(4_000_000, "y");
    for (let i = 0; i < 60; i++) gpu.stream.dispatch(fill, [y], params(1_000_000, i), [15_625, 1, 1]);
    ${end}`;

  it.each([
    ["with work under way", "", 0],
    ["by process.exit during a read", "void gpu.stream.read(y); process.exit(3);", 3],
    ["by an uncaught error during a read", 'void gpu.stream.read(y); throw new Error("meant");', 1],
    ["after close", "await gpu.stream.finish(); await gpu.close();", 0],
  ])("is clean %s", (_, end, status) => {
    if (!("typescript" in process.features))
      return console.log("not run: this Node does not run TypeScript files");
    const result = spawnSync(process.execPath, ["--input-type=module", "-e", program(end)], {
      encoding: "utf8",
      timeout: 30_000,
    });
    expect(result.signal, result.stderr).toBeNull();
    expect(result.status, result.stderr).toBe(status);
  });
});
