import { PolargradError } from "../tensor/errors.ts";

/** A buffer's share of GPU memory, as errors name it. */
export interface BufferSize {
  readonly label: string;
  readonly bytes: number;
}

/** What a ledger holds at one moment, in bytes. */
export interface MemoryState {
  readonly live: number;
  /** The most bytes that were ever live at once. */
  readonly peak: number;
  readonly budget: number;
  /** The five largest live buffers, largest first. */
  readonly largest: readonly BufferSize[];
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** `bytes` for people: `"512 B"`, `"1.5 MiB"`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit] ?? "B"}`;
}

/** An allocation over the byte budget (refused before it is made), or one that the driver refused. */
export class GpuMemoryError extends PolargradError implements MemoryState {
  override readonly name = "GpuMemoryError";
  /** Bytes of the refused allocation. */
  readonly asked: number;
  readonly live: number;
  readonly peak: number;
  readonly budget: number;
  readonly largest: readonly BufferSize[];

  constructor(label: string, asked: number, state: MemoryState, why: string) {
    const list = state.largest.map((entry) => `${entry.label} ${formatBytes(entry.bytes)}`).join(", ");
    super(
      `GPU memory: ${why} ${formatBytes(asked)} for ${label}: ${formatBytes(state.live)} live, ` +
        `peak ${formatBytes(state.peak)}, budget ${formatBytes(state.budget)}; largest: ${list || "none"}. ` +
        "Use a smaller batch or activation checkpointing, run each step inside tidy(), or open the GPU with a larger budgetBytes.",
    );
    this.asked = asked;
    this.live = state.live;
    this.peak = state.peak;
    this.budget = state.budget;
    this.largest = state.largest;
  }
}

/** Something larger than this device allows: a buffer, a dispatch grid, a number of bindings, parameters. */
export class GpuLimitError extends PolargradError {
  override readonly name = "GpuLimitError";
  /** The limit's name as WebGPU spells it, or ours. */
  readonly limit: string;
  readonly asked: number;
  readonly max: number;

  constructor(what: string, limit: string, asked: number, max: number, advice: string) {
    super(`${what}: ${asked} is over this device's ${limit} of ${max}; ${advice}`);
    this.limit = limit;
    this.asked = asked;
    this.max = max;
  }
}

/**
 * WebGPU refused a kernel or a command. A refused command stream writes nothing, so its results do not exist.
 */
export class GpuValidationError extends PolargradError {
  override readonly name = "GpuValidationError";
  /** Labels of the kernels that were being compiled or submitted. */
  readonly kernels: readonly string[];
  /** The implementation's own words. */
  readonly detail: string;

  constructor(what: string, kernels: readonly string[], detail: string) {
    super(`${what}: ${detail.trim()}`);
    this.kernels = kernels;
    this.detail = detail;
  }
}

/** The device is gone: lost by the driver, or closed. Open the GPU again; its old buffers cannot be read. */
export class GpuDeviceLostError extends PolargradError {
  override readonly name = "GpuDeviceLostError";
  /** `"closed"` by `Gpu.close()`, else WebGPU's `GPUDeviceLostReason`. */
  readonly reason: string;

  constructor(reason: string, detail: string) {
    const what =
      reason === "closed"
        ? "The GPU was closed"
        : `The GPU device was lost (${reason}${detail && `: ${detail}`})`;
    super(
      `${what}, and what its buffers held is gone; ` +
        'call init({ device: "webgpu" }) again and rebuild the tensors from saved values.',
    );
    this.reason = reason;
  }
}
