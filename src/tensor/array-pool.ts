import { allocate, bytesPerElement, type DType, type TypedArray } from "./dtype.ts";

/** Arrays below this are cheaper to make than to keep. */
const SMALLEST = 4096;
/** The most bytes that wait for reuse. */
const CAPACITY = 512 * 1024 * 1024;

const waiting = new Map<string, TypedArray[]>();
let waitingBytes = 0;

const keyOf = (dtype: DType, length: number): string => `${bytesPerElement(dtype)}${dtype === "f32"}${length}`;

/** A zeroed array, one that was given back if there is one: fresh memory costs a page fault every 4 KB and the collector's time. */
export function takeArray(dtype: DType, length: number): TypedArray {
  const array = waiting.get(keyOf(dtype, length))?.pop();
  if (!array) return allocate(dtype, length);
  waitingBytes -= array.byteLength;
  return array.fill(0);
}

/** Give back an array that nobody else refers to. */
export function giveArray(dtype: DType, array: TypedArray): void {
  if (array.byteLength < SMALLEST || waitingBytes + array.byteLength > CAPACITY) return;
  const key = keyOf(dtype, array.length);
  const list = waiting.get(key) ?? [];
  waiting.set(key, list);
  list.push(array);
  waitingBytes += array.byteLength;
}
