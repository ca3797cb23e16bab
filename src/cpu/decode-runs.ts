import { planesOf } from "../tensor/blocks.ts";
import { isBlock, type PackedArray, type StoredFormat } from "../tensor/dtype.ts";
import type { Engine } from "./engine.ts";
import { DECODE_SCRATCH, decodeRuns } from "./wasm/stored-kernels.ts";

/** Elements in a stored format, packed. */
export interface Packed {
  readonly format: StoredFormat;
  readonly data: PackedArray;
}

/** A matrix in a stored format or in f32. */
export type Weight = Packed | { readonly format: "f32"; readonly data: Float32Array };

/** Which elements: runs of `length` that begin `stride` apart, the first at `first`. Of blocks, whole ones. */
export interface Runs {
  readonly first: number;
  readonly length: number;
  readonly stride: number;
}

/** ns for an element. */
const DECODE_COST = 0.4;

/** Where a kernel finds the integers and the scales, which floats have not. */
export const arraysOf = ({ format, data }: Weight) =>
  isBlock(format) ? planesOf(format, data as Uint8Array) : { integers: data, scales: data };

/** Decode as many runs as `out` holds, one after the other. False: there is no memory, nothing was decoded. */
export function decodeRunsOn(engine: Engine, packed: Packed, out: Float32Array, { first, length, stride }: Runs): boolean {
  return engine.launch(
    decodeRuns[packed.format],
    { ...arraysOf(packed), out, first, length, stride, total: out.length },
    { units: Math.ceil(out.length / length), cost: out.length * DECODE_COST, scratch: DECODE_SCRATCH },
  );
}
