import { type PooledArray, giveArray, settle, takeFromHeap } from "./array-pool.ts";
import { countCpuStorage } from "./cpu-storage.ts";
import { bytesPerElement, type PackedArray, type StoredFormat } from "./dtype.ts";
import { DisposedError } from "./errors.ts";
import type { Storage } from "./storage.ts";

/** Elements on the CPU in a stored format, packed; never written after they are made. */
export class PackedStorage implements Storage {
  readonly device = "cpu";
  readonly dtype: StoredFormat;
  readonly length: number;
  #data: PackedArray | null;
  /** The words of the heap that the elements lie in. */
  #words: PooledArray | null = null;
  #references = 1;

  /** Takes over `data`. */
  constructor(format: StoredFormat, data: PackedArray) {
    this.dtype = format;
    this.length = data.byteLength / bytesPerElement(format);
    this.#data = data;
    countCpuStorage(1);
  }

  /** The bits themselves. Throws DisposedError after the last release. */
  get data(): PackedArray {
    if (!this.#data) throw new DisposedError("this tensor was disposed; keep it by returning it from tidy()");
    return this.#data;
  }

  read(): Promise<PackedArray> {
    return Promise.resolve(this.data.slice());
  }

  /** The elements live long: move them to the heap, where kernels read them in place. */
  settle(): void {
    const { data } = this;
    this.#words ??= takeFromHeap("i32", Math.ceil(data.byteLength / 4));
    if (!this.#words?.home) return;
    settle(this.#words.home);
    const { buffer, byteOffset } = this.#words.array;
    if (data.buffer === buffer) return;
    this.#data = data instanceof Uint16Array ? new Uint16Array(buffer, byteOffset, data.length) : new Uint8Array(buffer, byteOffset, data.length);
    (this.#data as Uint8Array).set(data);
  }

  retain(): void {
    this.#references++;
  }

  release(): void {
    if (--this.#references > 0 || !this.#data) return;
    countCpuStorage(-1);
    if (this.#words) giveArray("i32", this.#words);
    this.#words = null;
    this.#data = null;
  }
}
