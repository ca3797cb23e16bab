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

  retain(): void {
    this.#references++;
  }

  release(): void {
    if (--this.#references > 0 || !this.#data) return;
    countCpuStorage(-1);
    this.#data = null;
  }
}
