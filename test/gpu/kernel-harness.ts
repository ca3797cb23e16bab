import type { GpuBuffer } from "../../src/gpu/buffer.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import { dispatchPlan } from "../../src/gpu/run-kernel.ts";
import type { KernelPlan } from "../../src/tensor/op-spec.ts";

const GUARD = 16;
const SENTINEL = 0x7fc12345; // a NaN: whoever reads past the end shows it

/** `data` on the GPU, followed by words of NaN. */
export function upload(gpu: Gpu, label: string, data: Float32Array | Int32Array): GpuBuffer {
  const words = new Uint32Array(data.length + GUARD).fill(SENTINEL);
  words.set(new Uint32Array(data.buffer, data.byteOffset, data.length));
  const buffer = gpu.pool.acquire(words.byteLength, label);
  gpu.stream.write(buffer, words);
  return buffer;
}

/** Runs a plan into `length` floats that hold NaN before, and throws when a word past them was written. */
export async function runPlan(
  gpu: Gpu,
  plan: KernelPlan,
  inputs: readonly (Float32Array | Int32Array)[],
  length: number,
): Promise<Float32Array> {
  const buffers = inputs.map((input, i) => upload(gpu, `input ${i}`, input));
  const output = upload(gpu, "output", new Float32Array(length).fill(Number.NaN));
  dispatchPlan(gpu, plan, buffers, output);
  const words = new Uint32Array(await gpu.stream.read(output));
  for (const buffer of [...buffers, output]) gpu.pool.release(buffer);
  const broken = words.subarray(length).findIndex((word) => word !== SENTINEL);
  if (broken >= 0) throw new Error(`${plan.kernel.label} wrote ${broken} words past its output of ${length}`);
  return new Float32Array(words.buffer, 0, length);
}

/** Pseudo-random numbers from -1 to 1, the same for the same seed. */
export function noise(length: number, seed: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}
