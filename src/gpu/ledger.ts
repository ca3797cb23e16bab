import type { GpuBuffer } from "./buffer.ts";
import { type BufferSize, GpuMemoryError } from "./errors.ts";

/** Counts the bytes of a device's buffers and refuses what would go over the budget. */
export class Ledger {
  /** The most bytes that live and pooled buffers may hold together; may be changed at any time. */
  budget: number;
  #live = 0;
  #peak = 0;
  #pooled = 0;
  readonly #buffers = new Set<GpuBuffer>();

  constructor(budget: number) {
    this.budget = budget;
  }

  /** Bytes of leased buffers. */
  get live(): number {
    return this.#live;
  }

  /** The most bytes that were leased at once. */
  get peak(): number {
    return this.#peak;
  }

  /** Bytes of released buffers that wait in the pool. */
  get pooled(): number {
    return this.#pooled;
  }

  /** Number of leased buffers. */
  get liveBuffers(): number {
    return this.#buffers.size;
  }

  /** True when `bytes` more fit beside the live and the pooled buffers. */
  fits(bytes: number): boolean {
    return this.#live + this.#pooled + bytes <= this.budget;
  }

  /** The error for `bytes` that cannot be had; `why` reads "the budget does not allow". */
  refusal(label: string, bytes: number, why: string): GpuMemoryError {
    return new GpuMemoryError(
      label,
      bytes,
      { live: this.#live, peak: this.#peak, budget: this.budget, largest: this.largest(5) },
      why,
    );
  }

  /** Books a lease; `fromPool` when its memory waited in the pool. */
  lease(buffer: GpuBuffer, fromPool: boolean): void {
    this.#buffers.add(buffer);
    this.#live += buffer.capacity;
    if (fromPool) this.#pooled -= buffer.capacity;
    this.#peak = Math.max(this.#peak, this.#live);
  }

  /** Books the end of a lease: the memory waits in the pool. */
  giveBack(buffer: GpuBuffer): void {
    this.#buffers.delete(buffer);
    this.#live -= buffer.capacity;
    this.#pooled += buffer.capacity;
  }

  /** Books the destruction of a pooled buffer. */
  destroyed(buffer: GpuBuffer): void {
    this.#pooled -= buffer.capacity;
  }

  /** The `count` largest leased buffers, largest first. */
  largest(count: number): BufferSize[] {
    return [...this.#buffers]
      .sort((a, b) => b.capacity - a.capacity)
      .slice(0, count)
      .map((buffer) => ({ label: buffer.label, bytes: buffer.capacity }));
  }
}
