import { COMPUTE_STAGE, USAGE } from "./constants.ts";
import { GpuLimitError } from "./errors.ts";

/** Bytes of one kernel's parameters: the largest offset alignment that WebGPU allows a device to ask for. */
export const SLOT_BYTES = 256;
/** Dispatches whose parameters fit between two flushes. */
export const RING_SLOTS = 256;

const SLOT_WORDS = SLOT_BYTES / 4;

/**
 * The parameters of the recorded dispatches, one 256-byte slot each, uploaded by one `writeBuffer` a flush.
 * Slots start over after a flush: the queue runs that upload after the commands submitted before it.
 */
export class UniformRing {
  /** Layout of `group(1)`, the same for every kernel. */
  readonly layout: GPUBindGroupLayout;
  readonly #device: GPUDevice;
  readonly #buffer: GPUBuffer;
  readonly #words = new Uint32Array(RING_SLOTS * SLOT_WORDS);
  readonly #groups: GPUBindGroup[] = [];
  #used = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
    this.layout = device.createBindGroupLayout({
      label: "parameters",
      entries: [{ binding: 0, visibility: COMPUTE_STAGE, buffer: { type: "uniform" } }],
    });
    this.#buffer = device.createBuffer({
      label: "parameters",
      size: RING_SLOTS * SLOT_BYTES,
      usage: USAGE.uniform | USAGE.copyTarget,
    });
  }

  get full(): boolean {
    return this.#used === RING_SLOTS;
  }

  /**
   * Stores `params` in the next slot and returns the bind group that shows it. Throws `GpuLimitError` over 64
   * words.
   */
  push(params: Uint32Array, label: string): GPUBindGroup {
    if (params.length > SLOT_WORDS) {
      throw new GpuLimitError(
        `Parameters of ${label}`,
        "32-bit words",
        params.length,
        SLOT_WORDS,
        "pass the rest in a storage buffer",
      );
    }
    const slot = this.#used++;
    this.#words.set(params, slot * SLOT_WORDS);
    this.#groups[slot] ??= this.#device.createBindGroup({
      label: "parameters",
      layout: this.layout,
      entries: [
        { binding: 0, resource: { buffer: this.#buffer, offset: slot * SLOT_BYTES, size: SLOT_BYTES } },
      ],
    });
    return this.#groups[slot];
  }

  /** Uploads the used slots and starts over. */
  upload(): void {
    if (this.#used > 0)
      this.#device.queue.writeBuffer(this.#buffer, 0, this.#words, 0, this.#used * SLOT_WORDS);
    this.#used = 0;
  }
}
