import { DeviceError } from "../tensor/errors.ts";
import { BufferPool } from "./buffer-pool.ts";
import { Collector } from "./collector.ts";
import { env, isOn } from "./env.ts";
import { GpuDeviceLostError } from "./errors.ts";
import { compilesLate, HeadStart } from "./head-start.ts";
import { DeviceHealth } from "./health.ts";
import { Ledger } from "./ledger.ts";
import { type AdapterSummary, deviceDescriptor, type GpuProfile, profileOf, summarise } from "./profile.ts";
import { CommandStream } from "./stream.ts";
import { EXACT_TIMES } from "./trace.ts";
import { Waiter } from "./wait.ts";

/** How to open the GPU. */
export interface OpenGpuOptions {
  /** Accept an adapter that computes on the CPU (lavapipe, SwiftShader); for tests. Default false. */
  readonly allowSoftware?: boolean;
  /**
   * The most bytes its buffers may take together. Default: 80 % of the machine's memory (a GPU does not tell
   * its own).
   */
  readonly budgetBytes?: number;
}

/** An opened device with its command stream, buffers and byte ledger. Made by `openGpu`. */
export class Gpu {
  readonly device: GPUDevice;
  readonly profile: GpuProfile;
  readonly stream: CommandStream;
  readonly pool: BufferPool;
  readonly ledger: Ledger;
  readonly collector: Collector;
  readonly #health: DeviceHealth;
  readonly #headStart: HeadStart | null;

  constructor(
    device: GPUDevice,
    profile: GpuProfile,
    budgetBytes: number,
    collect: (() => void) | null,
    headStart: HeadStart | null,
  ) {
    this.device = device;
    this.profile = profile;
    this.#health = new DeviceHealth(device);
    this.#headStart = headStart;
    this.ledger = new Ledger(budgetBytes);
    this.collector = new Collector(this.ledger, collect);
    this.stream = new CommandStream(device, this.#health, new Waiter(profile.isSoftware), headStart && ((kernels) => headStart.take(kernels)));
    this.pool = new BufferPool(device, this.#health, this.stream, this.ledger);
  }

  /** False after a loss, a refused command stream or `close`: `openGpu` then opens a new device. */
  get healthy(): boolean {
    return this.#health.error === null;
  }

  /** Runs `make`, whose tensors outlive the function that is being captured, if one is: a replay does not make them again. */
  lasting<T>(make: () => T): T {
    return this.pool.inLane(() => this.stream.recorder.pause(make), false);
  }

  /** Throws the error that ended this device, if one did. */
  check(): void {
    this.#health.check();
  }

  /**
   * Destroys the device and all of its buffers. Pending reads reject, later uses throw `GpuDeviceLostError`.
   */
  async close(): Promise<void> {
    this.#health.fail(new GpuDeviceLostError("closed", ""));
    this.#headStart?.close();
    this.device.destroy();
    await this.device.lost;
  }
}

/** What `probeAdapters` found. */
export interface AdapterProbe {
  /** The adapters that WebGPU offers, best first. */
  readonly adapters: readonly AdapterSummary[];
  /** Why there is none, as a sentence; null when there is one. */
  readonly problem: string | null;
}

const openDevices = new Set<GPUDevice>();
// A driver whose threads still compute while the process unloads it crashes (SwiftShader does).
if (typeof process !== "undefined") {
  process.once("exit", () => {
    for (const device of openDevices) device.destroy();
  });
}

let current: Gpu | null = null;
let lastOpening: Promise<unknown> = Promise.resolve();

/**
 * Opens the GPU: the same one again while it is healthy, else a new adapter and device. Throws `DeviceError`,
 * saying why, when there is no adapter or only a software one that was not allowed.
 * POLARGRAD_GPU_FEATURES=minimal asks for no optional feature and WebGPU's default limits;
 * POLARGRAD_TRACE=1 prints each dispatch with its time on stderr; POLARGRAD_VULKAN_DIR names a directory with a Vulkan loader and driver to use.
 */
export function openGpu(options: OpenGpuOptions = {}): Promise<Gpu> {
  const opening = lastOpening.then(() => reuseOrOpen(options));
  // The caller hears of a failure; the next opening only waits for this one to end.
  lastOpening = opening.catch(() => null);
  return opening;
}

async function reuseOrOpen({ allowSoftware = false, budgetBytes }: OpenGpuOptions): Promise<Gpu> {
  if (current?.healthy && (allowSoftware || !current.profile.isSoftware)) {
    if (budgetBytes !== undefined) current.ledger.budget = budgetBytes;
    return current;
  }
  const adapter = await requestAdapter();
  if (!adapter)
    throw new DeviceError(`WebGPU found no adapter: ${whyNone()}; device "cpu" works without one.`);
  const { isSoftware, description } = summarise(adapter.info);
  if (isSoftware && !allowSoftware) {
    throw new DeviceError(
      `WebGPU found only the software adapter ${description}, slower than the CPU; device "webgpu" takes it all the same`,
    );
  }
  const device = await requestDevice(adapter);
  // A trace tells what was asked for, and no more.
  const headStart = compilesLate(description) && !isOn("POLARGRAD_TRACE") ? await openHeadStart() : null;
  const budget = budgetBytes ?? 0.8 * (await machineMemory());
  current = new Gpu(device, profileOf(device, adapter.info), budget, await garbageCollection(), headStart);
  return current;
}

const requestAdapter = async (): Promise<GPUAdapter | null> =>
  (await loadWebGpu()).requestAdapter({ powerPreference: "high-performance" });

async function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const minimal = env("POLARGRAD_GPU_FEATURES") === "minimal";
  const device = await adapter.requestDevice(deviceDescriptor(adapter, minimal));
  openDevices.add(device);
  void device.lost.then(() => openDevices.delete(device));
  return device;
}

async function openHeadStart(): Promise<HeadStart | null> {
  // An adapter gives one device.
  const adapter = await requestAdapter();
  const device = adapter && (await requestDevice(adapter));
  return device && new HeadStart(device, new CommandStream(device, new DeviceHealth(device), new Waiter(true)));
}

/** Looks for adapters without opening one. Never throws: a missing binding or driver is a `problem`. */
export async function probeAdapters(): Promise<AdapterProbe> {
  try {
    const webgpu = await loadWebGpu();
    const wishes: GPURequestAdapterOptions[] = [
      { powerPreference: "high-performance" },
      { powerPreference: "low-power" },
      { forceFallbackAdapter: true },
    ];
    const found = new Map<string, AdapterSummary>();
    for (const wish of wishes) {
      const adapter = await webgpu.requestAdapter(wish);
      if (adapter) found.set(adapter.info.description, summarise(adapter.info));
    }
    return { adapters: [...found.values()], problem: found.size > 0 ? null : `${whyNone()}.` };
  } catch (error) {
    return { adapters: [], problem: error instanceof Error ? error.message : String(error) };
  }
}

const PIN = Symbol.for("polargrad.dawn");

/** Node's own `navigator.gpu` does not exist: there Dawn serves, and in a browser the browser. */
async function loadWebGpu(): Promise<GPU> {
  const host = globalThis as { navigator?: { gpu?: GPU }; [PIN]?: GPU };
  if (host.navigator?.gpu) return host.navigator.gpu;
  const directory = env("POLARGRAD_VULKAN_DIR");
  if (!host[PIN] && directory) await useVulkanFrom(directory);
  try {
    const { create } = await import("webgpu");
    // Dawn aborts the process when this object is garbage collected: it lives as long as the process.
    host[PIN] ??= create(isOn("POLARGRAD_TRACE") ? [EXACT_TIMES] : []);
    return host[PIN];
  } catch (cause) {
    throw new DeviceError(`WebGPU is not available: npm's webgpu did not load here (${reason(cause)}).`, {
      cause,
    });
  }
}

const RTLD_NOW = 0x2;
const RTLD_GLOBAL = 0x100;
const RTLD_NODELETE = 0x1000;

/** Makes Dawn use the loader `libvulkan.so.1` and the driver of the one `*_icd.json` in `directory`. */
async function useVulkanFrom(directory: string): Promise<void> {
  const { existsSync, readdirSync } = await import("node:fs");
  const { resolve } = await import("node:path");
  if (!existsSync(directory))
    throw new DeviceError(`POLARGRAD_VULKAN_DIR: there is no directory ${directory}.`);
  const driver = readdirSync(directory).find((name) => name.endsWith("_icd.json"));
  if (!driver) throw new DeviceError(`POLARGRAD_VULKAN_DIR: no *_icd.json in ${directory}.`);
  process.env.VK_DRIVER_FILES = resolve(directory, driver);
  process.env.VK_ICD_FILENAMES = process.env.VK_DRIVER_FILES;
  const loader = resolve(directory, "libvulkan.so.1");
  const problem = openLibrary(loader, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
  if (problem) throw new DeviceError(`POLARGRAD_VULKAN_DIR: ${loader} did not load (${problem}).`);
}

/** Why the library did not load, or null: it is then open, and stays so with RTLD_NODELETE. */
function openLibrary(path: string, flags: number): string | null {
  try {
    process.dlopen({ exports: {} }, path, flags);
    return null;
  } catch (error) {
    // Node expects an addon; a library that is none was loaded all the same.
    return reason(error).includes("did not self-register") ? null : reason(error);
  }
}

function whyNone(): string {
  if (typeof process === "undefined") return "the browser offers none; see whether its WebGPU is switched on";
  if (process.platform !== "linux") return "the graphics driver offers none; update it";
  const missing = openLibrary("libvulkan.so.1", RTLD_NOW | RTLD_NODELETE);
  if (missing)
    return "there is no Vulkan loader (libvulkan.so.1); install libvulkan1 and the driver of the GPU";
  const files = env("VK_DRIVER_FILES") ?? env("VK_ICD_FILENAMES");
  const where = files ? `VK_DRIVER_FILES is ${files}` : "vulkaninfo shows which are installed";
  return `the Vulkan loader is here, but it has no driver that Dawn accepts (${where})`;
}

const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const UNKNOWN_MEMORY = 4 * 1024 ** 3;

async function machineMemory(): Promise<number> {
  if (typeof process === "undefined") return UNKNOWN_MEMORY;
  const { totalmem } = await import("node:os");
  return Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
}

/** Node's full garbage collection, which has to be asked of V8 by flag; null in a browser. */
async function garbageCollection(): Promise<(() => void) | null> {
  if (typeof process === "undefined") return null;
  const [v8, vm] = await Promise.all([import("node:v8"), import("node:vm")]);
  v8.setFlagsFromString("--expose-gc");
  const collect: unknown = vm.runInNewContext("gc");
  v8.setFlagsFromString("--no-expose-gc");
  return typeof collect === "function" ? () => void collect() : null;
}
