import { ArgumentError } from "../tensor/errors.ts";
import type { GpuBuffer } from "./buffer.ts";
import type { Binding, KernelLayout } from "./kernel.ts";

const MAX_GROUPS = 8192;

/**
 * Bind groups by layout and buffers. A pool hands the same buffers to the same step, so nearly every look-up
 * hits.
 */
export class BindGroupCache {
  readonly #device: GPUDevice;
  readonly #groups = new Map<string, { readonly group: GPUBindGroup; readonly ids: readonly number[] }>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Number of cached groups, at most 8192: the cache starts over when it is full. */
  get size(): number {
    return this.#groups.size;
  }

  /** The group that binds `buffers`, all of their bytes, in order. */
  get(
    layout: KernelLayout,
    label: string,
    bindings: readonly Binding[],
    buffers: readonly GpuBuffer[],
  ): GPUBindGroup {
    let key = layout.shape;
    for (const { id, whole, offset, capacity } of buffers) key += whole ? `${id}@${offset}+${capacity},` : `${id},`;
    const known = this.#groups.get(key);
    if (known) return known.group;
    checkAliases(label, bindings, buffers);
    if (this.#groups.size >= MAX_GROUPS) this.#groups.clear();
    const group = this.#device.createBindGroup({
      label,
      layout: layout.buffers,
      entries: buffers.map(({ buffer, offset, capacity }, binding) => ({ binding, resource: { buffer, offset, size: capacity } })),
    });
    this.#groups.set(key, { group, ids: buffers.map((buffer) => buffer.id) });
    return group;
  }

  /** Drops the groups that bind one of these buffers, which are about to be destroyed. */
  forget(gone: ReadonlySet<number>): void {
    for (const [key, { ids }] of this.#groups) if (ids.some((id) => gone.has(id))) this.#groups.delete(key);
  }
}

function checkAliases(label: string, bindings: readonly Binding[], buffers: readonly GpuBuffer[]): void {
  if (buffers.length !== bindings.length) {
    throw new ArgumentError(label, "buffers", `${bindings.length} buffers`, `${buffers.length}`);
  }
  const written = buffers.filter((_, index) => bindings[index] === "read_write");
  for (const { id, label: name } of written) {
    if (buffers.filter((other) => other.id === id).length > 1) {
      throw new ArgumentError(
        label,
        `buffer ${name}`,
        "bound once, since the kernel writes it",
        "bound twice",
      );
    }
  }
}
