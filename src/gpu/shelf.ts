import type { GpuBuffer } from "./buffer.ts";

/** Released buffers by capacity. The lowest id is taken first: a loop that repeats itself then gets the same buffers, and their bind groups. */
export class Shelf {
  /** The lowest id last. */
  readonly #free = new Map<number, GpuBuffer[]>();

  /** Takes a buffer of exactly this capacity, if one is there. */
  take(capacity: number): GpuBuffer | undefined {
    return this.#free.get(capacity)?.pop();
  }

  put(buffer: GpuBuffer): void {
    const list = this.#free.get(buffer.capacity);
    if (!list) {
      this.#free.set(buffer.capacity, [buffer]);
      return;
    }
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (list[middle].id > buffer.id) low = middle + 1;
      else high = middle;
    }
    list.splice(low, 0, buffer);
  }

  /** Takes everything. */
  clear(): GpuBuffer[] {
    const all = [...this.#free.values()].flat();
    this.#free.clear();
    return all;
  }
}
