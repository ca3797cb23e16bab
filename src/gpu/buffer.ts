/**
 * A leased piece of GPU memory. The same `GPUBuffer` is leased again after its release, under the same `id`
 * but as a new object, so that a use after release is noticed. **It starts with garbage of the past**: a
 * kernel must write every element that it owns.
 */
export class GpuBuffer {
  /** Identifies the `GPUBuffer` behind the lease. */
  readonly id: number;
  readonly buffer: GPUBuffer;
  /** Bytes that were asked for. */
  readonly bytes: number;
  /**
   * Bytes that are there; bindings show all of them, so `arrayLength` in a kernel is not the tensor's length.
   */
  readonly capacity: number;
  readonly label: string;
  #live = true;

  constructor(id: number, buffer: GPUBuffer, bytes: number, capacity: number, label: string) {
    this.id = id;
    this.buffer = buffer;
    this.bytes = bytes;
    this.capacity = capacity;
    this.label = label;
  }

  /** False after `BufferPool.release`. */
  get live(): boolean {
    return this.#live;
  }

  /** Ends the lease. Only the pool calls it. */
  retire(): void {
    this.#live = false;
  }
}
