import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Gpu } from "../../src/gpu/device.ts";
import { gemmPlan } from "../../src/gpu/gemm.ts";
import { LlamaForCausalLM } from "../../src/nn/index.ts";
import { closeDevice, currentGpu, init, tuneGpu } from "../../src/ops/index.ts";
import { tinyConfig } from "../nn/tiny-llama.ts";
import { useTestDriver } from "../driver.ts";

const LARGE = 2 ** 19;
const TILES = ["64x32x8", "32x32x16"];

let gpu: Gpu;
beforeEach(() => open());
afterEach(async () => {
  vi.unstubAllEnvs();
  await closeDevice();
});

/** A device that says it is hardware. */
async function open(): Promise<void> {
  useTestDriver();
  await init({ device: "webgpu" });
  gpu = currentGpu() as Gpu;
  Object.assign(gpu.profile, { isSoftware: false });
}

const storeOf = (known: readonly string[] | null) => ({
  read: vi.fn(async (_gpu: string) => known),
  write: vi.fn(async (_gpu: string, _tiles: readonly string[]) => undefined),
});
const labelOf = (n: number): string => gemmPlan({ ...gpu.profile, subgroups: true }, "NT", { batch: 1, m: n, n, k: 64 }).kernel.label;

it("measures a new GPU once, stores what it found, and takes it for products that are large enough", async () => {
  const store = storeOf(null);
  const measure = vi.fn(async () => TILES);
  expect(labelOf(1024)).toBe("gemm NT tile 32x32x16");
  await Promise.all([tuneGpu(store, LARGE, measure), tuneGpu(store, LARGE, measure)]);
  await tuneGpu(store, LARGE, measure);
  expect(measure).toHaveBeenCalledTimes(1);
  const { vendor, architecture, device, description } = gpu.profile;
  expect(store.write.mock.calls).toEqual([[`${vendor} | ${architecture} | ${device} | ${description}`, TILES]]);
  expect([labelOf(1024), labelOf(64)]).toEqual(["gemm NT tile 64x32x8", "gemm NT tile 32x32x16"]);
});

it("takes what was stored, of the tiles that there are", async () => {
  const measure = vi.fn(async () => TILES);
  const store = storeOf(["9x9x9", "../../x", "64x64x8", "32x32x8"]);
  await tuneGpu(store, LARGE, measure);
  expect(gpu.profile.tiles).toEqual(["64x64x8", "32x32x8"]);
  expect([measure.mock.calls.length, store.write.mock.calls.length]).toEqual([0, 0]);
  await closeDevice();
  await open();
  await tuneGpu(storeOf(["9x9x9"]), LARGE, measure);
  expect([measure.mock.calls.length, gpu.profile.tiles]).toEqual([1, TILES]);
});

it("leaves software, small models and POLARGRAD_AUTOTUNE=off alone", async () => {
  const store = storeOf(TILES);
  await tuneGpu(store, LARGE - 1);
  vi.stubEnv("POLARGRAD_AUTOTUNE", "off");
  await tuneGpu(store, LARGE);
  vi.unstubAllEnvs();
  Object.assign(gpu.profile, { isSoftware: true });
  await tuneGpu(store, LARGE);
  expect([store.read.mock.calls.length, gpu.profile.tiles]).toEqual([0, undefined]);
});

it("is asked for when a model is loaded whose products are large", async () => {
  const dir = await mkdtemp(join(tmpdir(), "polargrad-tune-"));
  vi.stubEnv("XDG_CACHE_HOME", dir);
  const { vendor, architecture, device, description } = gpu.profile;
  const gpus = { [[vendor, architecture, device, description].join(" | ")]: TILES };
  await mkdir(join(dir, "polargrad"));
  await writeFile(join(dir, "polargrad", "tiles.json"), JSON.stringify({ version: 1, gpus }));
  try {
    for (const vocab_size of [64, 8192]) {
      const model = join(dir, String(vocab_size));
      await LlamaForCausalLM.fromConfig(tinyConfig({ vocab_size, hidden_size: 64 }), { device: "cpu" }).savePretrained(model);
      await LlamaForCausalLM.fromPretrained(model, { device: "webgpu" });
      expect(gpu.profile.tiles).toEqual(vocab_size === 64 ? undefined : TILES);
    }
  } finally {
    await rm(dir, { recursive: true });
  }
});
