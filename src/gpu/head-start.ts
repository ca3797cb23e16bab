import { GpuBuffer } from "./buffer.ts";
import { USAGE } from "./constants.ts";
import type { KernelSource } from "./kernel.ts";
import type { CommandStream } from "./stream.ts";

const NOTHING = new Uint32Array(64);
const SCRATCH_BYTES = 256;

/**
 * Milliseconds, for a kernel to run and another to be made, up to which the driver had the first one in its cache: to make one
 * takes up to 15, to compile one at least 15 more.
 */
const KNOWN_MS = 20;

/** Whether an adapter compiles a kernel when it first runs, one after the other on the thread of its queue: Mesa's lavapipe. */
export const compilesLate = (description: string): boolean => /llvmpipe/.test(description);

/**
 * Compiles new kernels on a second core, for adapters of which `compilesLate` holds: nearly all of a first step is that.
 * A device of its own runs them with nothing to do, the last one first, while the device that needs them begins with the
 * first. The two meet in the middle: each takes from the driver's cache what the other has compiled.
 */
export class HeadStart {
  readonly #device: GPUDevice;
  readonly #stream: CommandStream;
  readonly #scratch: GpuBuffer[] = [];

  /** `stream` is the one of `device`. */
  constructor(device: GPUDevice, stream: CommandStream) {
    this.#device = device;
    this.#stream = stream;
  }

  /**
   * Compiles `kernels`, at least two, that another device has just begun to run in this order. Returns before it is done, and
   * soon where the driver's cache knew the last of them. Never throws: the other device then compiles alone.
   */
  take(kernels: readonly KernelSource[], knownMs = KNOWN_MS): void {
    try {
      const [last, next, ...others] = kernels.toReversed();
      this.#run(last);
      this.#stream.flush();
      const start = performance.now();
      this.#run(next);
      // While its queue compiles, lavapipe makes no other kernel.
      if (performance.now() - start > knownMs) for (const kernel of others) this.#run(kernel);
      this.#stream.flush();
    } catch {
      // What is wrong with a kernel, the device that needs it has told; a lost device stays lost.
    }
  }

  /** Destroys the device. */
  close(): void {
    this.#device.destroy();
  }

  // With parameters of zeros no kernel has anything to do.
  #run(kernel: KernelSource): void {
    const buffers = kernel.bindings.map((_, i) => (this.#scratch[i] ??= this.#createScratch(i)));
    this.#stream.dispatch(kernel, buffers, NOTHING, [1, 1, 1]);
  }

  #createScratch(id: number): GpuBuffer {
    const label = "scratch of a head start";
    const buffer = this.#device.createBuffer({ label, size: SCRATCH_BYTES, usage: USAGE.storage });
    return new GpuBuffer(id, buffer, SCRATCH_BYTES, SCRATCH_BYTES, label);
  }
}
