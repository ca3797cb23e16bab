import { allocate, type DType, type TypedArray } from "./dtype.ts";
import { DisposedError } from "./errors.ts";
import type { Storage } from "./storage.ts";

let liveStorages = 0;

/** Number of CPU storages that still hold a reference: constant from step to step in a loop that leaks nothing. */
export const liveCpuStorages = (): number => liveStorages;

/** Elements in a typed array. */
export class CpuStorage implements Storage {
  readonly device = "cpu";
  readonly dtype: DType;
  readonly length: number;
  #data: TypedArray | null;
  #references = 1;

  constructor(dtype: DType, data: TypedArray) {
    this.dtype = dtype;
    this.length = data.length;
    this.#data = data;
    liveStorages++;
  }

  /** A zeroed storage. */
  static zeros(dtype: DType, length: number): CpuStorage {
    return new CpuStorage(dtype, allocate(dtype, length));
  }

  /** The elements themselves. Throws DisposedError after the last release. */
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
    if (this.#data) liveStorages--;
    this.#data = null;
  }
}
