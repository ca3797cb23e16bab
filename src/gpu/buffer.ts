const WHOLE = { offset: 0, whole: null };

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
  /** Where it begins in the `GPUBuffer`, in bytes; 0 unless it is a part. */
  readonly offset: number;
  /** The lease that it is a part of; null for a whole one. */
  readonly whole: GpuBuffer | null;
  #parts: Map<string, GpuBuffer> | null = null;
  #live = true;

  constructor(
    id: number,
    buffer: GPUBuffer,
    bytes: number,
    capacity: number,
    label: string,
    part: Pick<GpuBuffer, "offset" | "whole"> = WHOLE,
  ) {
    this.id = id;
    this.buffer = buffer;
    this.bytes = bytes;
    this.capacity = capacity;
    this.label = label;
    this.offset = part.offset;
    this.whole = part.whole;
  }

  /**
   * A stretch of this buffer, the same object each time; it lives as long as this lease and is never released. `offset` is a
   * multiple of 256, WebGPU's alignment of bindings. A kernel may not write one part while it reads another: they are one
   * buffer to WebGPU.
   */
  part(offset: number, bytes: number, capacity: number): GpuBuffer {
    const key = `${offset} ${bytes} ${capacity}`;
    this.#parts ??= new Map();
    const part = this.#parts.get(key) ?? new GpuBuffer(this.id, this.buffer, bytes, capacity, this.label, { offset: this.offset + offset, whole: this });
    this.#parts.set(key, part);
    return part;
  }

  /** The lease behind it: itself, unless it is a part. */
  get lease(): GpuBuffer {
    return this.whole?.lease ?? this;
  }

  /** False after `BufferPool.release`. */
  get live(): boolean {
    return this.#live && (this.whole?.live ?? true);
  }

  /** Ends the lease. Only the pool calls it. */
  retire(): void {
    this.#live = false;
  }
}
