import { giveArray, type PooledArray, settle, takeArray, takeFromHeap } from "./array-pool.ts";
import { allocate, type DType, type TypedArray } from "./dtype.ts";
import { DisposedError } from "./errors.ts";
import type { Storage } from "./storage.ts";

let liveStorages = 0;

/** Number of CPU storages that still hold a reference: constant from step to step in a loop that leaks nothing. */
export const liveCpuStorages = (): number => liveStorages;

/** Every kind of CPU storage announces here that it was made (1) or freed (-1). */
export function countCpuStorage(change: 1 | -1): void {
  liveStorages += change;
}

/** Elements in a typed array, in the heap that the kernels share where there is room. */
export class CpuStorage implements Storage {
  readonly device = "cpu";
  readonly dtype: DType;
  readonly length: number;
  #pooled: PooledArray | null;
  #references = 1;
  /** Somebody outside the library may hold the array. */
  #exposed = false;

  /** Takes over `data`, an ordinary array. */
  constructor(dtype: DType, data: TypedArray) {
    this.dtype = dtype;
    this.length = data.length;
    this.#pooled = { array: data, home: null };
    countCpuStorage(1);
  }

  /** A storage with unknown contents. */
  static uninitialized(dtype: DType, length: number): CpuStorage {
    const pooled = takeArray(dtype, length);
    const storage = new CpuStorage(dtype, pooled.array);
    storage.#pooled = pooled;
    return storage;
  }

  /** A zeroed storage. */
  static zeros(dtype: DType, length: number): CpuStorage {
    const storage = CpuStorage.uninitialized(dtype, length);
    storage.data.fill(0);
    return storage;
  }

  /** A storage of the same elements. */
  static copyOf(dtype: DType, data: TypedArray): CpuStorage {
    const storage = CpuStorage.uninitialized(dtype, data.length);
    storage.data.set(data);
    return storage;
  }

  /** The elements as an ordinary array, for a caller who may keep it: it will not be used for anything else. */
  expose(): TypedArray {
    const { array, home } = this.#held();
    this.#exposed = true;
    if (!home) return array;
    const own = allocate(this.dtype, this.length);
    own.set(array);
    giveArray(this.dtype, this.#held());
    this.#pooled = { array: own, home: null };
    return own;
  }

  /** The elements live long: move them to the heap, where kernels read them in place, unless they were exposed. */
  settle(): void {
    if (!this.#held().home && !this.#exposed) {
      const pooled = takeFromHeap(this.dtype, this.length);
      pooled?.array.set(this.data);
      this.#pooled = pooled ?? this.#pooled;
    }
    const { home } = this.#held();
    if (home) settle(home);
  }

  /** The elements themselves, valid until the last release. Throws DisposedError after it. */
  get data(): TypedArray {
    return this.#held().array;
  }

  read(): Promise<TypedArray> {
    return Promise.resolve(this.data.slice());
  }

  retain(): void {
    this.#references++;
  }

  release(): void {
    if (--this.#references > 0) return;
    if (!this.#pooled) return;
    countCpuStorage(-1);
    giveArray(this.dtype, this.#pooled);
    this.#pooled = null;
  }

  #held(): PooledArray {
    if (!this.#pooled) throw new DisposedError("this tensor was disposed; keep it by returning it from tidy()");
    return this.#pooled;
  }
}
