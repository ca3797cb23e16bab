import type { SafetensorsInput } from "../../src/io/index.ts";
import { tensor } from "../../src/index.ts";
import type { Device, Tensor } from "../../src/index.ts";

/** Named arrays: a workload's parameters and data, to be made into tensors here or written for another program. */
export type Arrays = ReadonlyMap<string, NamedArray>;

/** Row-major numbers with their shape. */
export interface NamedArray {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/** The arrays as tensors on a device. */
export const tensorsOf = (arrays: Arrays, device: Device): Map<string, Tensor> =>
  new Map([...arrays].map(([name, { shape, data }]) => [name, tensor(data, { shape, device })]));

/** The arrays as entries of a safetensors file. */
export const entriesOf = (arrays: Arrays): [string, SafetensorsInput][] =>
  [...arrays].map(([name, { shape, data }]) => [name, { dtype: data instanceof Float32Array ? "F32" : "I32", shape, data }]);

/** A matrix [rows, columns] as [columns, rows]. */
export function transposed(data: Float32Array, rows: number, columns: number): NamedArray {
  const out = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) out[(i % columns) * rows + Math.floor(i / columns)] = data[i];
  return { shape: [columns, rows], data: out };
}
