import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { unpackSwiftShader } from "../scripts/swiftshader.ts";
import { type Gpu, type OpenGpuOptions, openGpu, probeAdapters } from "../src/gpu/device.ts";

const LAVAPIPE = ["lvp_icd.json", "lvp_icd.x86_64.json", "lvp_icd.aarch64.json"].flatMap((name) => [
  `/usr/share/vulkan/icd.d/${name}`,
  `/etc/vulkan/icd.d/${name}`,
]);

/**
 * Points Dawn at the driver that POLARGRAD_TEST_DRIVER names: `swiftshader` (default, from npm), `lavapipe`
 * (Mesa's, as installed) or `system` (whatever Vulkan finds). Call it before the GPU is first opened in this
 * process.
 */
export function useTestDriver(): void {
  const driver = process.env.POLARGRAD_TEST_DRIVER ?? "swiftshader";
  process.env.XDG_RUNTIME_DIR ??= tmpdir();
  // Small dispatches cost lavapipe 1 µs without its thread pool, 15 with it.
  process.env.LP_NUM_THREADS ??= "0";
  if (driver === "swiftshader") {
    process.env.POLARGRAD_VULKAN_DIR ??= unpackSwiftShader();
  } else if (driver === "lavapipe") {
    const file = LAVAPIPE.find(existsSync);
    if (!file) throw new Error(`POLARGRAD_TEST_DRIVER=lavapipe: none of ${LAVAPIPE.join(", ")} exists`);
    process.env.VK_DRIVER_FILES = file;
  } else if (driver !== "system") {
    throw new Error(`POLARGRAD_TEST_DRIVER: expected swiftshader, lavapipe or system, got ${driver}`);
  }
}

/** The test driver's GPU, opened. Close it in `afterAll`. */
export function openTestGpu(options: OpenGpuOptions = {}): Promise<Gpu> {
  useTestDriver();
  return openGpu({ allowSoftware: true, ...options });
}

/** Vitest's global setup: sets the driver for every worker and prints the adapter in one line. */
export async function setup(): Promise<void> {
  useTestDriver();
  const { adapters, problem } = await probeAdapters();
  console.log(`GPU tests run on ${adapters[0]?.description ?? `nothing: ${problem}`}`);
}
