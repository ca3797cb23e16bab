import { spawnSync } from "node:child_process";
import { afterAll, describe, expect, it } from "vitest";
import { openGpu } from "../../src/gpu/device.ts";
import { openTestGpu, useTestDriver } from "../driver.ts";

const PROGRAM = `
  const { openGpu, probeAdapters } = await import("./src/gpu/device.ts");
  const { problem } = await probeAdapters();
  const opened = await openGpu().catch((error) => error.name + ": " + error.message);
  console.log(JSON.stringify({ problem, opened: String(opened) }));`;

/** What a fresh process says about its adapters; null where Node cannot run TypeScript. */
function scene(env: Record<string, string>): { problem: string | null; opened: string } | null {
  if (!("typescript" in process.features)) {
    console.log("not run: this Node does not run TypeScript files");
    return null;
  }
  const result = spawnSync(process.execPath, ["--input-type=module", "-e", PROGRAM], {
    encoding: "utf8",
    env: { ...process.env, POLARGRAD_VULKAN_DIR: "", ...env },
    timeout: 30_000,
  });
  expect(result.status, result.stderr).toBe(0);
  return JSON.parse(result.stdout.trim().split("\n").at(-1) ?? "null") as {
    problem: string | null;
    opened: string;
  };
}

describe("machines without a usable GPU", () => {
  useTestDriver();
  afterAll(async () => (await openTestGpu()).close());

  it("says that no driver is accepted, or that there is no loader", () => {
    const said = scene({ VK_DRIVER_FILES: "/nowhere.json", VK_ICD_FILENAMES: "/nowhere.json" });
    if (!said || process.platform !== "linux") return;
    expect(said.problem).toMatch(
      /^(the Vulkan loader is here, but it has no driver .*nowhere\.json|there is no Vulkan loader)/,
    );
    expect(said.opened).toMatch(
      /^DeviceError: WebGPU found no adapter: .*; device "cpu" works without one\.$/,
    );
  });

  it("says what is wrong with POLARGRAD_VULKAN_DIR", () => {
    const missing = scene({ POLARGRAD_VULKAN_DIR: "/nowhere" });
    if (missing)
      expect(missing.opened).toBe("DeviceError: POLARGRAD_VULKAN_DIR: there is no directory /nowhere.");
    const empty = scene({ POLARGRAD_VULKAN_DIR: "src" });
    if (empty) expect(empty.problem).toBe("POLARGRAD_VULKAN_DIR: no *_icd.json in src.");
  });

  it("refuses a software adapter that was not asked for", async () => {
    const { profile } = await openTestGpu();
    if (!profile.isSoftware) return console.log("not run: the adapter is hardware");
    await expect(openGpu()).rejects.toThrow(/only the software adapter .* takes it all the same/);
  });
});
