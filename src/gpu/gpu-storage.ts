import { bytesPerElement, type DType, isHalf, isStored, type PackedArray, type TypedArray } from "../tensor/dtype.ts";
import { ArgumentError, DisposedError } from "../tensor/errors.ts";
import type { Storage } from "../tensor/storage.ts";
import type { GpuBuffer } from "./buffer.ts";
import type { Gpu } from "./device.ts";

/** The kind of array that holds elements of `dtype` on their way to the GPU and back. */
function arrayType(dtype: DType) {
  if (dtype === "f32") return Float32Array;
  if (isStored(dtype)) return isHalf(dtype) ? Uint16Array : Uint8Array;
  return Int32Array;
}

/** A tensor's elements in GPU memory. Its buffer goes back to the pool with the last reference to it or to a part of it. */
export class GpuStorage implements Storage {
  readonly device = "webgpu";
  readonly gpu: Gpu;
  readonly dtype: DType;
  readonly length: number;
  readonly buffer: GpuBuffer;
  /** What it is a part of, and keeps alive. */
  readonly #whole: GpuStorage | null;
  #references = 1;

  private constructor(gpu: Gpu, dtype: DType, length: number, buffer: GpuBuffer, whole: GpuStorage | null) {
    this.gpu = gpu;
    this.dtype = dtype;
    this.length = length;
    this.buffer = buffer;
    this.#whole = whole;
  }

  /** A storage **with garbage in it**, for a kernel to fill; one that is `toStay` takes no more memory than it needs. Throws `GpuMemoryError` or `GpuLimitError`. */
  static allocate(gpu: Gpu, dtype: DType, length: number, label: string = dtype, toStay = false): GpuStorage {
    if (dtype === "f64") {
      throw new ArgumentError(
        "GpuStorage",
        "dtype",
        "another than f64",
        "f64",
        "f64 is computed on the CPU only",
      );
    }
    return new GpuStorage(gpu, dtype, length, gpu.pool.acquire(length * bytesPerElement(dtype), label, toStay), null);
  }

  /** A storage with a copy of `data`, packed for a stored format. Throws `GpuMemoryError` or `GpuLimitError`. */
  static upload(
    gpu: Gpu,
    dtype: DType,
    data: TypedArray | PackedArray,
    label: string = dtype,
  ): GpuStorage {
    if (!(data instanceof arrayType(dtype))) {
      throw new ArgumentError("GpuStorage", "data", `an array of ${dtype}`, data.constructor.name);
    }
    const storage = GpuStorage.allocate(gpu, dtype, data.byteLength / bytesPerElement(dtype), label, true);
    try {
      gpu.stream.write(storage.buffer, data);
    } catch (error) {
      storage.release();
      throw error;
    }
    return storage;
  }

  /** Whether more than one holder has it: its elements must not change then. */
  get isShared(): boolean {
    return this.#references > 1;
  }

  /** `length` of its elements from a byte `offset` on, the same memory; `capacity` and the rest as for `GpuBuffer.part`. */
  part(offset: number, length: number, capacity: number): GpuStorage {
    this.retain();
    const buffer = this.buffer.part(offset, length * bytesPerElement(this.dtype), capacity);
    return new GpuStorage(this.gpu, this.dtype, length, buffer, this);
  }

  /** A copy of the elements. Rejects with `GpuDeviceLostError` or `GpuValidationError`; never zeros. */
  async read(): Promise<TypedArray | PackedArray> {
    const bytes = await this.gpu.stream.read(this.buffer);
    await this.gpu.collector.visit();
    return new (arrayType(this.dtype))(bytes);
  }

  retain(): void {
    if (this.#references === 0)
      throw new DisposedError(`GPU storage ${this.buffer.label} was released before retain`);
    this.#references++;
  }

  release(): void {
    if (this.#references === 0)
      throw new DisposedError(`GPU storage ${this.buffer.label} was released too often`);
    this.#references--;
    if (this.#references > 0) return;
    if (this.#whole) this.#whole.release();
    else this.gpu.pool.release(this.buffer);
  }
}
