import { probeAdapters } from "../gpu/device.ts";
import type { GpuProfile } from "../gpu/profile.ts";
import { closeDevice, openDevice } from "../ops/index.ts";
import { DeviceError } from "../tensor/errors.ts";
import type { DeclaredOp } from "../testing/index.ts";
import type { Flags } from "./args.ts";
import { checkCpuKernels } from "./cpu-check.ts";
import { bytes, counted, duration } from "./format.ts";
import { checkKernels, type KernelVerdict, opsWithKernels } from "./kernel-check.ts";
import { packageVersion } from "./package-version.ts";
import { facts } from "./table.ts";
import { oneLine, type Terminal } from "./terminal.ts";

/** `doctor` has no flags. */
export const DOCTOR_FLAGS: Flags = {};

/**
 * Tell what this machine offers, and check every kernel on its CPU and its GPU.
 *
 * @param ops those to check; default: all that have a kernel
 * @returns false when a kernel is wrong
 */
export async function doctor(
  _given: unknown,
  terminal: Terminal,
  ops: readonly DeclaredOp[] = opsWithKernels(),
): Promise<boolean> {
  // Guard words behind every buffer tell kernels that write too far.
  process.env.POLARGRAD_GUARD ??= "1";
  try {
    const { adapters, problem } = await probeAdapters();
    const auto = await openDevice("auto");
    terminal.print("polargrad doctor");
    const found = adapters.map(
      ({ description, isSoftware }) => `${oneLine(description)} (${isSoftware ? "software" : "hardware"})`,
    );
    const cpu = checkCpuKernels();
    const lines = facts([
      ["polargrad", packageVersion()],
      ["Node", `${process.version} on ${process.platform} ${process.arch}`],
      ...cpu.facts,
      ["GPU", found.join("; ") || `none: ${oneLine(problem ?? "no reason was given", 400)}`],
      ["auto", `picks ${auto.device}: ${oneLine(auto.reason, 400)}`],
    ]);
    for (const line of [...lines, ...cpu.wrong]) terminal.print(line);
    const isGpuRight = adapters.length === 0 || (await examineGpu(ops, terminal));
    return isGpuRight && cpu.wrong.length === 0;
  } finally {
    await closeDevice();
  }
}

async function examineGpu(ops: readonly DeclaredOp[], terminal: Terminal): Promise<boolean> {
  const profile = await openedProfile(terminal);
  if (!profile) return false;
  terminal.print(`\n${oneLine(profile.description)}`);
  for (const line of facts(describe(profile))) terminal.print(line);
  terminal.print();
  const verdicts = await checkKernels(ops, terminal);
  for (const line of conclusion(verdicts)) terminal.print(line);
  return verdicts.every(({ problem }) => problem === null);
}

/** An adapter that WebGPU lists but cannot open is as wrong as a wrong kernel. */
async function openedProfile(terminal: Terminal): Promise<GpuProfile | null> {
  try {
    return (await openDevice("webgpu")).profile;
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    terminal.print(`the GPU cannot be opened: ${oneLine(error.message, 400)}`);
    return null;
  }
}

function describe({
  vendor,
  architecture,
  features,
  limits,
  subgroupMinSize,
  subgroupMaxSize,
}: GpuProfile): [string, string][] {
  const lanes =
    subgroupMinSize === subgroupMaxSize ? `${subgroupMinSize}` : `${subgroupMinSize} to ${subgroupMaxSize}`;
  const yesNo = (flag: boolean): string => (flag ? "yes" : "no");
  return [
    [
      "driver",
      [vendor, architecture]
        .filter(Boolean)
        .map((text) => oneLine(text))
        .join(", ") || "unknown",
    ],
    [
      "features",
      `f16 ${yesNo(features.f16)}, subgroups ${features.subgroups ? `of ${lanes}` : "no"}, timestamps ${yesNo(features.timestampQuery)}`,
    ],
    [
      "buffers",
      `up to ${bytes(limits.maxBufferSize)}, ${bytes(limits.maxStorageBufferBindingSize)} bound at once, ${limits.maxStorageBuffersPerShaderStage} a kernel`,
    ],
    [
      "workgroups",
      `up to ${limits.maxComputeInvocationsPerWorkgroup} invocations, ${bytes(limits.maxComputeWorkgroupStorageSize)} of shared memory`,
    ],
  ];
}

function conclusion(verdicts: readonly KernelVerdict[]): string[] {
  const wrong = verdicts.filter(({ problem }) => problem !== null);
  const total = verdicts.reduce((sum, { seconds }) => sum + seconds, 0);
  const slowest = verdicts
    .toSorted((a, b) => b.seconds - a.seconds)
    .slice(0, 3)
    .map(({ op, seconds }) => `${op} ${duration(seconds)}`);
  const names = wrong.length > 0 ? `: ${wrong.map(({ op }) => op).join(", ")}` : "";
  const summary = `${counted(verdicts.length - wrong.length, "kernel")} right, ${wrong.length} wrong${names} (${duration(total)}; longest: ${slowest.join(", ")})`;
  return [...wrong.map(({ op, problem }) => `WRONG ${op}: ${oneLine(problem ?? "", 600)}`), summary];
}
