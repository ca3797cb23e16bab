import type { DType, PackedArray, TypedArray } from "./dtype.ts";

/** Where a tensor lives. */
export type Device = "cpu" | "webgpu";

/** Reference-counted elements on one device. A new storage starts with one reference, held by its first tensor. */
export interface Storage {
  readonly device: Device;
  readonly dtype: DType;
  /** Number of elements. */
  readonly length: number;
  /** A copy of the elements, of a stored format packed; waits for the device. */
  read(): Promise<TypedArray | PackedArray>;
  retain(): void;
  release(): void;
  /** On the CPU: the elements live long; they move to where kernels read them in place. */
  settle?(): void;
}
