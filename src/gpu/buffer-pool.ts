import { DisposedError } from "../tensor/errors.ts";
import { GpuBuffer } from "./buffer.ts";
import { USAGE } from "./constants.ts";
import { isOn } from "./env.ts";
import { GpuLimitError } from "./errors.ts";
import type { DeviceHealth, Incident } from "./health.ts";
import type { Ledger } from "./ledger.ts";
import { Shelf } from "./shelf.ts";
import type { CommandStream } from "./stream.ts";

const STEP = 256;
const MEBIBYTE = 1024 * 1024;
const GUARD_BYTES = 16;
// A NaN as f32: what a kernel reads past the end shows, and what it writes there changes the pattern.
const GUARD_WORD = 0x7fc0dead;

/** How many buffers a pool holds and has made. */
export interface PoolCounts {
  readonly live: number;
  readonly free: number;
  /** Buffers created since the device was opened; constant from step to step in steady state. */
  readonly created: number;
}

/** The sizes of buffers up to 4 MiB: steps of 1.25 in multiples of 256. */
const CLASSES: readonly number[] = (() => {
  const classes = [STEP];
  for (let last = STEP; last < 4 * MEBIBYTE; ) {
    last = Math.min(Math.ceil((last * 1.25) / STEP) * STEP, 4 * MEBIBYTE);
    classes.push(last);
  }
  return classes;
})();

/** The capacity for `bytes`: steps of 1.25 in multiples of 256 up to 4 MiB, then whole MiB. */
export function sizeClass(bytes: number): number {
  if (bytes > 4 * MEBIBYTE) return Math.ceil(bytes / MEBIBYTE) * MEBIBYTE;
  let low = 0;
  let high = CLASSES.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (CLASSES[middle] < bytes) low = middle + 1;
    else high = middle;
  }
  return CLASSES[low];
}

/**
 * Storage buffers by size class. A released buffer is leased again as it is, **with its old content**;
 * nothing is destroyed before the budget or `trim` asks for it. With POLARGRAD_GUARD=1 every buffer ends in
 * 16 guard bytes.
 */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #health: DeviceHealth;
  readonly #stream: CommandStream;
  readonly #ledger: Ledger;
  readonly #largest: number;
  readonly #guarded = isOn("POLARGRAD_GUARD");
  readonly #free = new Shelf();
  /** What recorded functions work in, by id of the buffer: nobody else gets it. */
  readonly #lane = new Set<number>();
  readonly #laneFree = new Shelf();
  #inLane = false;
  #laneVersion = 0;
  /** The last lease of every buffer that exists. */
  readonly #leases = new Map<number, GpuBuffer>();
  #created = 0;

  constructor(device: GPUDevice, health: DeviceHealth, stream: CommandStream, ledger: Ledger) {
    this.#device = device;
    this.#health = health;
    this.#stream = stream;
    this.#ledger = ledger;
    this.#largest = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
  }

  /** The most bytes of a lease. */
  get largest(): number {
    return this.#largest - (this.#guarded ? GUARD_BYTES : 0);
  }

  get counts(): PoolCounts {
    const live = this.#ledger.liveBuffers;
    return { live, free: this.#leases.size - live, created: this.#created };
  }

  /**
   * Leases a buffer of at least `bytes`, of up to twice of that unless it is `toStay`; `label` names it in errors. Throws `GpuMemoryError` over the budget,
   * `GpuLimitError` above maxStorageBufferBindingSize, `GpuDeviceLostError` after a loss.
   */
  acquire(bytes: number, label = "a buffer", toStay = false): GpuBuffer {
    this.#health.check();
    const capacity = this.#capacityFor(bytes, label);
    const free = (this.#inLane ? this.#laneFree.take(capacity, toStay) : undefined) ?? this.#free.take(capacity, toStay);
    const id = free?.id ?? this.#created;
    const lease = new GpuBuffer(id, free?.buffer ?? this.#create(capacity, label), bytes, free?.capacity ?? capacity, label);
    this.#leases.set(id, lease);
    if (this.#inLane) this.#lane.add(id);
    this.#ledger.lease(lease, free !== undefined);
    return lease;
  }

  /**
   * Ends a lease. Its recorded uses still run; a new use throws. Throws `DisposedError` when released before.
   */
  release(buffer: GpuBuffer): void {
    if (!buffer.live) throw new DisposedError(`GPU buffer ${buffer.label} was released twice`);
    buffer.retire();
    this.#ledger.giveBack(buffer);
    (this.#lane.has(buffer.id) ? this.#laneFree : this.#free).put(buffer);
  }

  /** Increases when recordings made before lose the buffers that they work in. */
  get laneVersion(): number {
    return this.#laneVersion;
  }

  /** Whether only recordings work in this buffer. */
  ownedByLane(buffer: GpuBuffer): boolean {
    return this.#lane.has(buffer.id);
  }

  /** Runs `f` with buffers that from then on belong to recordings: when they are released, only other such runs get them. `on` false: with others again. */
  inLane<T>(f: () => T, on = true): T {
    const before = this.#inLane;
    this.#inLane = on;
    try {
      return f();
    } finally {
      this.#inLane = before;
    }
  }

  /** Takes the buffers that are leased now out of the lane and returns them. Recordings that work in them end. */
  leaveLane(): GpuBuffer[] {
    const kept = [...this.#lane].flatMap((id) => this.#leases.get(id) ?? []).filter((buffer) => buffer.live);
    for (const { id } of kept) this.#lane.delete(id);
    if (kept.length > 0) this.#laneVersion++;
    return kept;
  }

  /** Gives the buffers of recordings back to everybody, which ends the recordings. */
  dissolveLane(): void {
    this.#laneVersion++;
    this.#lane.clear();
    for (const buffer of this.#laneFree.clear()) this.#free.put(buffer);
  }

  /** Destroys the free buffers; submits what still uses them first. */
  trim(): void {
    this.dissolveLane();
    const free = this.#free.clear();
    this.#stream.forget(new Set(free.map((buffer) => buffer.id)));
    for (const buffer of free) {
      buffer.buffer.destroy();
      this.#leases.delete(buffer.id);
      this.#ledger.destroyed(buffer);
    }
  }

  /**
   * Waits for the device and names the buffers behind whose end a kernel wrote since the last check. Empty
   * without POLARGRAD_GUARD=1. A kernel may touch the rest of its buffer's last 16 bytes.
   */
  async checkGuards(): Promise<string[]> {
    if (!this.#guarded) return [];
    const buffers = [...this.#leases.values()];
    const regions = buffers.map((buffer) => ({
      buffer,
      offset: buffer.capacity - GUARD_BYTES,
      bytes: GUARD_BYTES,
    }));
    const words = new Uint32Array(await this.#stream.gather(regions));
    const perGuard = GUARD_BYTES / 4;
    const hurt = buffers.filter((_, index) =>
      words.subarray(index * perGuard, (index + 1) * perGuard).some((word) => word !== GUARD_WORD),
    );
    for (const { buffer, capacity } of hurt) this.#writeGuard(buffer, capacity);
    return hurt.map(({ label, id, bytes }) => `${label} (buffer ${id}, ${bytes} bytes)`);
  }

  #capacityFor(bytes: number, label: string): number {
    const max = this.#largest;
    const needed = this.#guarded ? Math.ceil(bytes / GUARD_BYTES) * GUARD_BYTES + GUARD_BYTES : bytes;
    if (needed > max) {
      const advice =
        "use a smaller batch, or split the tensor (a vocabulary can be worked through in chunks of rows)";
      throw new GpuLimitError(`Buffer ${label}`, "maxStorageBufferBindingSize (bytes)", bytes, max, advice);
    }
    return this.#guarded ? needed : Math.min(sizeClass(bytes), Math.floor(max / 4) * 4);
  }

  #create(capacity: number, label: string): GPUBuffer {
    if (!this.#ledger.fits(capacity)) this.trim();
    if (!this.#ledger.fits(capacity))
      throw this.#ledger.refusal(label, capacity, "the budget does not allow");
    let { value, incidents } = this.#ask(capacity, label);
    if (incidents.length > 0 && this.#ledger.pooled > 0) {
      this.trim();
      ({ value, incidents } = this.#ask(capacity, label));
    }
    const [incident] = incidents;
    if (incident)
      throw this.#ledger.refusal(label, capacity, `the driver refused (${incident.detail.trim()})`);
    this.#created++;
    if (this.#guarded) this.#writeGuard(value, capacity);
    return value;
  }

  #ask(capacity: number, label: string): { readonly value: GPUBuffer; readonly incidents: readonly Incident[] } {
    const usage = USAGE.storage | USAGE.copySource | USAGE.copyTarget;
    return this.#health.attempt(() => this.#device.createBuffer({ size: capacity, usage, label }));
  }

  #writeGuard(buffer: GPUBuffer, capacity: number): void {
    const guard = new Uint32Array(GUARD_BYTES / 4).fill(GUARD_WORD);
    this.#device.queue.writeBuffer(buffer, capacity - GUARD_BYTES, guard);
  }
}
