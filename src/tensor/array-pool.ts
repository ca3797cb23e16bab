import { allocate, bytesPerElement, type DType, type TypedArray } from "./dtype.ts";
import { allocateBlock, type Block, freeBlock, heapExtent, sharedHeap } from "./heap.ts";
import { isInScope } from "./scope.ts";

/** An array, and the block of the shared heap that it lies in; null for an ordinary array. */
export interface PooledArray {
  readonly array: TypedArray;
  readonly home: Home | null;
}

/** A block with an array over it. */
interface Home extends Block {
  /** Taken outside any `tidy` scope, and not known to be kept for good. */
  isLoose: boolean;
}

/**
 * The most bytes of loose arrays in the heap: only the garbage collector frees those, and it does not see how
 * much memory is behind them. Beyond this they are ordinary arrays.
 */
const MOST_LOOSE = 256 * 1024 * 1024;

/** Bytes that may wait for reuse whatever the size of the heap. */
const MOST_WAITING = 16 * 1024 * 1024;

/** Larger blocks do not wait for an array of the same size: they are free for any, at once. */
const LARGEST_WAITING = 16 * 1024 * 1024;

/** Arrays that wait for reuse, by dtype and length: a view costs more to make than to find again. */
const waiting = new Map<number, PooledArray[]>();
let waitingBytes = 0;
let looseBytes = 0;

/** What becomes of an array that was dropped without being given back. */
const net = new FinalizationRegistry<Home>((home) => {
  settle(home);
  freeBlock(home);
});

/** Distinguishes f32 and i32 arrays of each length. */
const keyOf = (dtype: DType, length: number): number => length * 2 + (dtype === "f32" ? 1 : 0);

/**
 * An array with unknown contents, in the shared heap where that has room (f64 never: no kernel reads it).
 *
 * @throws PolargradError where there is no memory at all
 */
export function takeArray(dtype: DType, length: number): PooledArray {
  return takeFromHeap(dtype, length) ?? { array: allocate(dtype, length), home: null };
}

/** Give back an array that nobody else refers to. */
export function giveArray(dtype: DType, pooled: PooledArray): void {
  const { array, home } = pooled;
  if (!home) return;
  settle(home);
  if (home.bytes > LARGEST_WAITING) {
    net.unregister(array);
    freeBlock(home);
    return;
  }
  const key = keyOf(dtype, array.length);
  const list = waiting.get(key);
  if (list) list.push(pooled);
  else waiting.set(key, [pooled]);
  waitingBytes += home.bytes;
}

/** The array is kept for good (a parameter): it no longer counts as loose. */
export function settle(home: Home): void {
  if (home.isLoose) looseBytes -= home.bytes;
  home.isLoose = false;
}

/** As `takeArray`, but null where only an ordinary array is left. */
export function takeFromHeap(dtype: DType, length: number): PooledArray | null {
  if (dtype === "f64") return null;
  const isLoose = !isInScope();
  if (isLoose && looseBytes + length * bytesPerElement(dtype) > MOST_LOOSE) return null;
  const found = takeTemporary(dtype, length);
  if (isLoose && found?.home) {
    found.home.isLoose = true;
    looseBytes += found.home.bytes;
  }
  return found;
}

/** An array in the heap for a kernel, which gives it back when it is done: it never counts as loose. Null where there is no room. */
export function takeTemporary(dtype: DType, length: number): PooledArray | null {
  const bytes = length * bytesPerElement(dtype);
  const pooled = waiting.get(keyOf(dtype, length))?.pop();
  if (pooled) waitingBytes -= (pooled.home as Home).bytes;
  return pooled ?? newView(dtype, length, bytes);
}

function newView(dtype: DType, length: number, bytes: number): PooledArray | null {
  const heap = sharedHeap();
  if (!heap?.shared) return null;
  // Other sizes than before: what waits is put together again rather than let it be most of the heap.
  if (waitingBytes >= bytes && waitingBytes > MOST_WAITING && 2 * waitingBytes > heapExtent()) flush();
  const block = allocateBlock(bytes);
  if (!block) return null;
  const { buffer } = heap.memory;
  const array = dtype === "f32" ? new Float32Array(buffer, block.start, length) : new Int32Array(buffer, block.start, length);
  const home: Home = { start: block.start, bytes: block.bytes, isLoose: false };
  net.register(array, home, array);
  return { array, home };
}

/** Turn the arrays that wait into free blocks. */
function flush(): void {
  for (const list of waiting.values()) {
    for (const { array, home } of list) {
      net.unregister(array);
      freeBlock(home as Home);
    }
  }
  waiting.clear();
  waitingBytes = 0;
}
