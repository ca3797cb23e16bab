import type { GpuBuffer } from "./buffer.ts";
import type { Gpu } from "./device.ts";
import { GpuStorage } from "./gpu-storage.ts";

/** Where a part of a buffer may begin, in bytes: WebGPU's default of minStorageBufferOffsetAlignment. */
const ALIGNMENT = 256;

/** Bytes that a storage takes in an arena; an empty one takes some too, since a binding must not be empty. */
const slotBytes = (floats: number): number => Math.max(1, Math.ceil((4 * floats) / ALIGNMENT)) * ALIGNMENT;

/**
 * f32 storages of zeros, side by side in as few buffers as WebGPU's limits allow; what lies between them is zero too. A buffer goes back to the pool with the last of its storages. Throws `GpuMemoryError`, and then leaves nothing.
 */
export function zeroArena(gpu: Gpu, lengths: readonly number[], label: string): GpuStorage[] {
  const made: GpuStorage[] = [];
  try {
    while (made.length < lengths.length) {
      const sizes = firstFit(lengths.slice(made.length).map(slotBytes), gpu.pool.largest);
      const whole = GpuStorage.allocate(gpu, "f32", sizes.reduce((sum, bytes) => sum + bytes, 0) / 4, label, true);
      gpu.stream.clear(whole.buffer);
      let offset = 0;
      for (const bytes of sizes) {
        made.push(whole.part(offset, lengths[made.length], bytes));
        offset += bytes;
      }
      whole.release();
    }
    return made;
  } catch (error) {
    for (const storage of made) storage.release();
    throw error;
  }
}

/** The first of `sizes`, at least one, that have room together. */
function firstFit(sizes: readonly number[], room: number): readonly number[] {
  let [total] = sizes;
  let end = 1;
  while (end < sizes.length && total + sizes[end] <= room) total += sizes[end++];
  return sizes.slice(0, end);
}

/** Copies of f32 storages, side by side. */
export function gathered(gpu: Gpu, storages: readonly GpuStorage[], label: string): GpuStorage[] {
  const copies = zeroArena(gpu, storages.map(({ length }) => length), label);
  for (const [i, { buffer, length }] of storages.entries()) gpu.stream.copy(buffer, copies[i].buffer, 4 * length);
  return copies;
}

/** Whether a storage lies in an arena. */
export const inArena = ({ buffer }: GpuStorage): boolean => buffer.whole !== null;

/** Storages that lie side by side, seen as one. */
export interface Run {
  /** One for each column. */
  readonly buffers: readonly GpuBuffer[];
  /** Of each of the buffers, zeros in between included; a multiple of 64. */
  readonly floats: number;
}

/** Cuts columns of storages, each in an arena, into runs of rows that lie side by side in every column. */
export function runsOf(columns: readonly (readonly GpuStorage[])[]): Run[] {
  const rows = columns[0].map((_, row) => columns.map((column) => column[row].buffer));
  const starts = rows.flatMap((row, i) => (i > 0 && row.every((buffer, k) => follows(rows[i - 1][k], buffer)) ? [] : [i]));
  return starts.map((start, i) => {
    const last = rows[(starts[i + 1] ?? rows.length) - 1];
    const buffers = rows[start].map((buffer, k) => through(buffer, last[k]));
    return { buffers, floats: buffers[0].capacity / 4 };
  });
}

const follows = (before: GpuBuffer, { whole, offset }: GpuBuffer): boolean => whole === before.whole && offset === before.offset + before.capacity;

/** From the beginning of one part of a buffer to the end of another. */
function through(first: GpuBuffer, last: GpuBuffer): GpuBuffer {
  const whole = first.whole ?? first;
  const bytes = last.offset + last.capacity - first.offset;
  return whole.part(first.offset - whole.offset, bytes, bytes);
}
