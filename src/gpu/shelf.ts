import type { GpuBuffer } from "./buffer.ts";

/** How much larger than asked for a buffer may be. */
const SLACK = 2;

/**
 * Released buffers by capacity. The best fit is taken, and of equals the one with the lowest id: a loop that repeats itself then gets
 * the same buffers, and their bind groups.
 */
export class Shelf {
  /** By capacity, the lowest id last. */
  readonly #free = new Map<number, GpuBuffer[]>();
  /** The capacities there have been, ascending. */
  readonly #capacities: number[] = [];

  /** Takes a buffer of this capacity or, unless it must be `exact`, of the next up to twice of it, if one is there. */
  take(capacity: number, exact: boolean): GpuBuffer | undefined {
    const same = this.#free.get(capacity)?.pop();
    if (same || exact) return same;
    for (let i = this.#placeOf(capacity); i < this.#capacities.length && this.#capacities[i] <= SLACK * capacity; i++) {
      const found = this.#free.get(this.#capacities[i])?.pop();
      if (found) return found;
    }
    return undefined;
  }

  put(buffer: GpuBuffer): void {
    const list = this.#free.get(buffer.capacity);
    if (list) {
      list.splice(firstIndex(list.length, (i) => list[i].id <= buffer.id), 0, buffer);
      return;
    }
    this.#free.set(buffer.capacity, [buffer]);
    this.#capacities.splice(this.#placeOf(buffer.capacity), 0, buffer.capacity);
  }

  /** Takes everything. */
  clear(): GpuBuffer[] {
    const all = [...this.#free.values()].flat();
    this.#free.clear();
    this.#capacities.length = 0;
    return all;
  }

  #placeOf(capacity: number): number {
    return firstIndex(this.#capacities.length, (i) => this.#capacities[i] >= capacity);
  }
}

/** The first of `length` indices of which `holds`, as it does of all after it; `length` if of none. */
function firstIndex(length: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
