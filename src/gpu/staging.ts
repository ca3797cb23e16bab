import { MAP_READ, USAGE } from "./constants.ts";
import { GpuValidationError } from "./errors.ts";
import type { DeviceHealth } from "./health.ts";
import type { Waiter } from "./wait.ts";

const SMALLEST = 256;
// Larger ones are destroyed after use: they would hold memory for a read that may never come again.
const LARGEST_KEPT = 4 * 1024 * 1024;
const KEPT_PER_SIZE = 8;

/** The mappable buffers that results are read through, reused by size (powers of two). */
export class StagingPool {
  readonly #device: GPUDevice;
  readonly #health: DeviceHealth;
  readonly #waiter: Waiter;
  readonly #free = new Map<number, GPUBuffer[]>();

  constructor(device: GPUDevice, health: DeviceHealth, waiter: Waiter) {
    this.#device = device;
    this.#health = health;
    this.#waiter = waiter;
  }

  /** An unmapped buffer of at least `bytes`. */
  acquire(bytes: number): GPUBuffer {
    const size = bytes > LARGEST_KEPT ? bytes : Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(bytes)));
    const free = this.#free.get(size)?.pop();
    if (free) return free;
    const descriptor = { label: "read back", size, usage: USAGE.mapRead | USAGE.copyTarget };
    const { value, incidents } = this.#health.attempt(() => this.#device.createBuffer(descriptor));
    const [incident] = incidents;
    if (incident)
      throw new GpuValidationError(
        `Cannot make a buffer of ${size} bytes to read through`,
        [],
        incident.detail,
      );
    return value;
  }

  /**
   * Waits for the first `bytes` of `staging`, copies them out and takes the buffer back. Rejects, never
   * zeros.
   */
  async read(staging: GPUBuffer, bytes: number): Promise<ArrayBuffer> {
    try {
      await this.#waiter.for(staging.mapAsync(MAP_READ, 0, staging.size));
    } catch (cause) {
      staging.destroy();
      this.#health.check();
      throw new GpuValidationError(`The GPU did not hand back ${bytes} bytes`, [], String(cause));
    }
    const copy = staging.getMappedRange().slice(0, bytes);
    staging.unmap();
    this.#keep(staging);
    this.#health.check();
    return copy;
  }

  #keep(staging: GPUBuffer): void {
    const free = this.#free.get(staging.size) ?? [];
    if (staging.size > LARGEST_KEPT || free.length >= KEPT_PER_SIZE) staging.destroy();
    else this.#free.set(staging.size, [...free, staging]);
  }
}
