/** The part of `WebAssembly.Memory` that is used, which the compiler's libraries do not declare. */
export interface WasmMemory {
  /** Another object after growing; views of the earlier one of a shared memory stay valid. */
  readonly buffer: ArrayBuffer;
  /** Add pages of 64 KiB. @throws RangeError beyond the maximum, or where the system has no more */
  grow(pages: number): number;
}

declare const WebAssembly: {
  Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => WasmMemory;
};

/** A piece of the heap: its address and size in bytes. */
export interface Block {
  readonly start: number;
  readonly bytes: number;
}

/** The one memory that tensors on the CPU, the kernels and their threads share. */
export interface Heap {
  readonly memory: WasmMemory;
  /** Whether arrays may live in it: else (no SharedArrayBuffer here) kernels copy into it and out of it. */
  readonly shared: boolean;
  /** Its limit in pages of 64 KiB. */
  readonly maximum: number;
}

const PAGE = 65536;
/** Most pages to ask for: 4 GiB, then less where an address space is small. */
const MAXIMA = [65536, 32768, 16384, 8192];
/** Nothing starts at address 0. */
const FIRST = 64;
/** Kernels may read this far beyond an array. */
const SLACK = 256;
/** Growth is in steps of at least that many pages (16 MiB). */
const GROWTH = 256;
const ALIGNMENT = 64;

let heap: Heap | null | undefined;
let bytesNow = 0;
/** Everything from here on is free, and never used yet. */
let top = FIRST;
/** Free blocks below `top` by address, with no two adjacent. */
const ranges: { start: number; end: number }[] = [];
const buffers = new Set<ArrayBufferLike>();

/** The heap, made at the first call; null where there is no WebAssembly. */
export function sharedHeap(): Heap | null {
  if (heap !== undefined) return heap;
  heap = typeof WebAssembly === "undefined" ? null : makeHeap();
  if (heap) bytesNow = heap.memory.buffer.byteLength;
  if (heap?.shared) buffers.add(heap.memory.buffer);
  return heap;
}

/** Whether an array lies in the heap; its address is then its `byteOffset`. */
export const isInHeap = (array: ArrayBufferView): boolean => buffers.has(array.buffer);

/** A free block of at least `bytes`, with the contents of its last use; null where the heap is full. */
export function allocateBlock(bytes: number): Block | null {
  const size = Math.ceil(Math.max(bytes, 1) / ALIGNMENT) * ALIGNMENT;
  for (let i = 0; i < ranges.length; i++) {
    const range = ranges[i];
    if (range.end - range.start < size) continue;
    const block = { start: range.start, bytes: size };
    range.start += size;
    if (range.start === range.end) ranges.splice(i, 1);
    return block;
  }
  if (!ensure(top + size + SLACK)) return null;
  const block = { start: top, bytes: size };
  top += size;
  return block;
}

/** Give a block back. */
export function freeBlock({ start, bytes }: Block): void {
  let [low, high] = [0, ranges.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ranges[middle].start < start) low = middle + 1;
    else high = middle;
  }
  const before = low > 0 && ranges[low - 1].end === start ? ranges[low - 1] : null;
  const after = low < ranges.length && ranges[low].start === start + bytes ? ranges[low] : null;
  if (before && after) {
    before.end = after.end;
    ranges.splice(low, 1);
  } else if (before) before.end += bytes;
  else if (after) after.start = start;
  else ranges.splice(low, 0, { start, end: start + bytes });
  const last = ranges.at(-1);
  if (last?.end === top) {
    top = last.start;
    ranges.pop();
  }
}

/** Bytes up to the highest block that was ever handed out and not put together again. */
export const heapExtent = (): number => top;

function makeHeap(): Heap | null {
  const shared = typeof SharedArrayBuffer !== "undefined";
  for (const maximum of MAXIMA) {
    try {
      return { memory: new WebAssembly.Memory({ initial: GROWTH, maximum, shared }), shared, maximum };
    } catch {
      // No address space for that much: ask for less.
    }
  }
  return null;
}

function ensure(bytes: number): boolean {
  const made = sharedHeap();
  if (!made) return false;
  if (bytes <= bytesNow) return true;
  const missing = Math.ceil((bytes - bytesNow) / PAGE);
  for (const pages of [Math.max(missing, GROWTH), missing]) {
    try {
      made.memory.grow(pages);
      bytesNow = made.memory.buffer.byteLength;
      if (made.shared) buffers.add(made.memory.buffer);
      return true;
    } catch {
      // Beyond the maximum, or no memory: try the least that would do.
    }
  }
  return false;
}
