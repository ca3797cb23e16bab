import { giveArray, takeArray } from "./array-pool.ts";
import type { DType, TypedArray } from "./dtype.ts";
import { DisposedError } from "./errors.ts";
import type { Storage } from "./storage.ts";

let liveStorages = 0;

/** Number of CPU storages that still hold a reference: constant from step to step in a loop that leaks nothing. */
export const liveCpuStorages = (): number => liveStorages;

/** Every kind of CPU storage announces here that it was made (1) or freed (-1). */
export function countCpuStorage(change: 1 | -1): void {
  liveStorages += change;
}

/** Elements in a typed array. */
export class CpuStorage implements Storage {
  readonly device = "cpu";
  readonly dtype: DType;
  readonly length: number;
  #data: TypedArray | null;
  #references = 1;
  /** Nobody outside the library can hold the array: it may be used again after the last release. */
  #reusable = false;

  constructor(dtype: DType, data: TypedArray) {
    this.dtype = dtype;
    this.length = data.length;
    this.#data = data;
    countCpuStorage(1);
  }

  /** A zeroed storage. */
  static zeros(dtype: DType, length: number): CpuStorage {
    const storage = new CpuStorage(dtype, takeArray(dtype, length));
    storage.#reusable = true;
    return storage;
  }

  /** The elements, for a caller who may keep the array: it will not be used for anything else. */
  expose(): TypedArray {
    this.#reusable = false;
    return this.data;
  }

  /** The elements themselves, valid until the last release. Throws DisposedError after it. */
  get data(): TypedArray {
    if (!this.#data) throw new DisposedError("this tensor was disposed; keep it by returning it from tidy()");
    return this.#data;
  }

  read(): Promise<TypedArray> {
    return Promise.resolve(this.data.slice());
  }

  retain(): void {
    this.#references++;
  }

  release(): void {
    if (--this.#references > 0) return;
    if (!this.#data) return;
    countCpuStorage(-1);
    if (this.#reusable) giveArray(this.dtype, this.#data);
    this.#data = null;
  }
}
