import { ArgumentError, DisposedError, PolargradError } from "../tensor/errors.ts";
import { BindGroupCache } from "./bind-groups.ts";
import type { GpuBuffer } from "./buffer.ts";
import { type Command, encode } from "./commands.ts";
import { USAGE } from "./constants.ts";
import { isOn } from "./env.ts";
import { GpuLimitError } from "./errors.ts";
import type { DeviceHealth } from "./health.ts";
import { type CompiledKernel, KernelCache, type KernelSource } from "./kernel.ts";
import { type RecordedStep, Recorder } from "./recorder.ts";
import { Recording } from "./recording.ts";
import { StagingPool } from "./staging.ts";
import { Tracer } from "./trace.ts";
import { UniformRing } from "./uniform-ring.ts";
import type { Waiter } from "./wait.ts";

/** Workgroups along x, y and z. */
export type Grid = readonly [number, number, number];

/** A stretch of a buffer, in bytes; offset and bytes are multiples of 4. */
export interface Region {
  readonly buffer: GpuBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/** What a stream has done so far. */
export interface StreamCounts {
  readonly dispatches: number;
  readonly submits: number;
  readonly pipelines: number;
  readonly bindGroups: number;
}

interface Stretch {
  readonly source: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

const roundUp4 = (bytes: number): number => Math.ceil(bytes / 4) * 4;

/**
 * Records commands and submits them together: one encoder, one pass, one submit a flush, after 256 dispatches
 * or when a result is read. Commands take effect in the order of the calls. A buffer may be released as soon
 * as its last use is recorded: the queue keeps the order, and `write` flushes before it would overtake a
 * recorded use.
 */
export class CommandStream {
  /** Takes down what the stream is told while a function is captured. */
  readonly recorder = new Recorder();
  readonly #device: GPUDevice;
  readonly #health: DeviceHealth;
  readonly #uniforms: UniformRing;
  readonly #kernels: KernelCache;
  readonly #groups: BindGroupCache;
  readonly #staging: StagingPool;
  readonly #commands: Command[] = [];
  readonly #recorded = new Set<number>();
  readonly #queued = new Set<Recording>();
  readonly #marker: GPUBuffer;
  readonly #tracer: Tracer | null;
  readonly #mostGroups: number;
  readonly #whenNew: ((kernels: readonly KernelSource[]) => void) | null;
  #dispatches = 0;
  #submits = 0;

  /** `whenNew` hears of the kernels that a submit runs for the first time, where there are several. */
  constructor(device: GPUDevice, health: DeviceHealth, waiter: Waiter, whenNew: ((kernels: readonly KernelSource[]) => void) | null = null) {
    this.#whenNew = whenNew;
    this.#device = device;
    this.#health = health;
    this.#uniforms = new UniformRing(device);
    this.#kernels = new KernelCache(device, health, this.#uniforms.layout);
    this.#groups = new BindGroupCache(device);
    this.#staging = new StagingPool(device, health, waiter);
    this.#mostGroups = device.limits.maxComputeWorkgroupsPerDimension;
    this.#tracer = isOn("POLARGRAD_TRACE") ? new Tracer(device) : null;
    this.#marker = device.createBuffer({ label: "marker", size: 4, usage: USAGE.copySource });
  }

  get counts(): StreamCounts {
    const { size: pipelines } = this.#kernels;
    return { dispatches: this.#dispatches, submits: this.#submits, pipelines, bindGroups: this.#groups.size };
  }

  /**
   * Records a run of `kernel`. `buffers` follow its bindings; `params` are at most 64 words (floats as their
   * bits) and are copied; the one at `randomStream` numbers the random stream that it draws from. A grid with a zero does nothing. Throws `GpuLimitError` for a grid over 65535 along
   * an axis, `GpuValidationError` for WGSL that does not compile, `GpuDeviceLostError` after a loss.
   */
  dispatch(kernel: KernelSource, buffers: readonly GpuBuffer[], params: Uint32Array, grid: Grid, randomStream?: number): void {
    this.#health.check();
    if (!this.#checkGrid(kernel.label, grid)) return;
    for (const buffer of buffers) checkLive(buffer, kernel.label);
    const compiled = this.#kernels.get(kernel);
    const group = this.#groups.get(compiled.layout, kernel.label, kernel.bindings, buffers);
    const slot = this.#uniforms.push(params, kernel.label);
    const bytes = this.#tracer ? buffers.reduce((sum, buffer) => sum + buffer.bytes, 0) : 0;
    this.#commands.push({ kind: "dispatch", kernel: compiled, buffers: group, params: slot, grid, bytes });
    this.recorder.add({ kind: "dispatch", kernel: compiled, buffers, group, params: params.slice(), grid, randomStream });
    for (const buffer of buffers) this.#recorded.add(buffer.id);
    this.#dispatches++;
    if (this.#uniforms.full) this.flush();
  }

  /** Records a copy of `bytes` from one buffer to another. Bytes and offsets are multiples of 4. */
  copy(source: GpuBuffer, target: GpuBuffer, bytes: number, sourceOffset = 0, targetOffset = 0): void {
    this.#health.check();
    checkRegion("copy", { buffer: source, offset: sourceOffset, bytes });
    checkRegion("copy", { buffer: target, offset: targetOffset, bytes });
    if (source.id === target.id)
      throw new ArgumentError("copy", "target", "another buffer than the source", "the same");
    if (bytes === 0) return;
    this.#recorded.add(source.id).add(target.id);
    this.recorder.add({ kind: "copy", buffers: [source, target], sourceOffset, targetOffset, bytes });
    this.#commands.push({
      kind: "copy",
      source: source.buffer,
      sourceOffset: source.offset + sourceOffset,
      target: target.buffer,
      targetOffset: target.offset + targetOffset,
      bytes,
    });
  }

  /** Records a fill of `buffer` with zero bytes, whole unless told. */
  clear(buffer: GpuBuffer, offset = 0, bytes = roundUp4(buffer.bytes) - offset): void {
    this.#health.check();
    checkRegion("clear", { buffer, offset, bytes });
    if (bytes === 0) return;
    this.#recorded.add(buffer.id);
    this.recorder.add({ kind: "clear", buffers: [buffer], offset, bytes });
    this.#commands.push({ kind: "clear", target: buffer.buffer, offset: buffer.offset + offset, bytes });
  }

  /** Writes `data` into `buffer` after everything recorded so far that uses it. `data` is copied. */
  write(buffer: GpuBuffer, data: ArrayBufferView, offset = 0): void {
    this.#health.check();
    const bytes = roundUp4(data.byteLength);
    checkRegion("write", { buffer, offset, bytes });
    if (bytes === 0) return;
    // writeBuffer acts at once, recorded commands later: a recycled buffer may still be read by one of them.
    if (this.#recorded.has(buffer.id)) this.flush();
    const source = uploadable(data, bytes);
    this.recorder.add({ kind: "upload", buffers: [buffer], offset, data: source.slice(), feed: this.recorder.feed });
    const submit = () => this.#device.queue.writeBuffer(buffer.buffer, buffer.offset + offset, source);
    this.#health.submit(() => [`write of ${buffer.label}`], submit);
  }

  /** Makes a recording of steps. `outside`: the buffers that the function did not make. */
  recordingOf(steps: readonly RecordedStep[], outside: readonly GpuBuffer[], firstDraw: number): Recording {
    this.#health.check();
    return new Recording(this.#device, this.#uniforms.layout, steps, outside, firstDraw);
  }

  /** Queues a recording, with the elements that its feeds give now. */
  replay(recording: Recording): void {
    this.#health.check();
    // Its uploads act at once: an earlier run must have been submitted, and so must what would still use an outside buffer.
    if (this.#queued.has(recording)) this.flush();
    this.#health.submit(() => ["uploads of a recording"], () => recording.prepare());
    for (const command of recording.commands) this.#commands.push(command);
    for (const buffer of recording.outside) this.#recorded.add(buffer.id);
    this.#queued.add(recording);
    this.#dispatches += recording.dispatches;
    recording.finish();
  }

  /**
   * Submits what is recorded. Throws `GpuValidationError` when WebGPU refuses it; the device is then of no
   * more use.
   */
  flush(): void {
    this.#health.check();
    if (this.#commands.length === 0) return;
    const commands = this.#commands.splice(0);
    this.#recorded.clear();
    this.#queued.clear();
    this.#submits++;
    this.#health.submit(
      () => labels(commands),
      () => {
        this.#uniforms.upload();
        const traced = this.#tracer?.encode(commands);
        this.#device.queue.submit([traced?.buffer ?? encode(this.#device, commands)]);
        traced?.report();
      },
    );
    const fresh = this.#kernels.takeFresh();
    if (fresh.length > 1) this.#whenNew?.(fresh);
  }

  /**
   * Flushes, waits, and returns a copy of the first `byteLength` bytes. Rejects after any failure; never
   * zeros.
   */
  async read(buffer: GpuBuffer, byteLength = buffer.bytes): Promise<ArrayBuffer> {
    checkLive(buffer, "read");
    const bytes = await this.gather([{ buffer, offset: 0, bytes: roundUp4(byteLength) }]);
    return bytes.byteLength === byteLength ? bytes : bytes.slice(0, byteLength);
  }

  /** Reads several regions in one go, one after the other in the result. Released buffers are allowed. */
  async gather(regions: readonly Region[]): Promise<ArrayBuffer> {
    for (const region of regions) checkExtent("read", region, region.buffer.capacity);
    return this.#readBack(
      regions.map(({ buffer, offset, bytes }) => ({ source: buffer.buffer, offset: buffer.offset + offset, bytes })),
    );
  }

  /** Flushes and waits until the device has done everything. Rejects after any failure. */
  async finish(): Promise<void> {
    // A mapped read is the one proof: onSubmittedWorkDone resolves after a loss too.
    await this.#readBack([{ source: this.#marker, offset: 0, bytes: 4 }]);
  }

  /** Compiles ahead. Rejects with `GpuValidationError` or `GpuLimitError`, and leaves the device healthy. */
  compile(kernel: KernelSource): Promise<CompiledKernel> {
    return this.#kernels.compile(kernel);
  }

  /** Submits what still uses these buffers and drops their bind groups, so that they can be destroyed. */
  forget(ids: ReadonlySet<number>): void {
    this.flush();
    this.#groups.forget(ids);
  }

  async #readBack(stretches: readonly Stretch[]): Promise<ArrayBuffer> {
    this.#health.check();
    if (this.recorder.isRecording) throw new PolargradError("a captured function cannot read a tensor; return it, and read what the function gives");
    const bytes = stretches.reduce((sum, stretch) => sum + stretch.bytes, 0);
    if (bytes === 0) return new ArrayBuffer(0);
    const target = this.#staging.acquire(bytes);
    let targetOffset = 0;
    for (const { source, offset, bytes: length } of stretches) {
      this.#commands.push({
        kind: "copy",
        source,
        sourceOffset: offset,
        target,
        targetOffset,
        bytes: length,
      });
      targetOffset += length;
    }
    this.flush();
    await this.#health.settled();
    return this.#staging.read(target, bytes);
  }

  #checkGrid(label: string, grid: Grid): boolean {
    const max = this.#mostGroups;
    for (const count of grid) {
      if (!Number.isInteger(count) || count < 0) {
        throw new ArgumentError(label, "grid", "three counts of workgroups", `[${grid.join(", ")}]`);
      }
      if (count > max) {
        const advice = "fold the workgroups into two dimensions";
        throw new GpuLimitError(`Grid of ${label}`, "maxComputeWorkgroupsPerDimension", count, max, advice);
      }
    }
    return grid.every((count) => count > 0);
  }
}

function checkLive(buffer: GpuBuffer, user: string): void {
  if (!buffer.live)
    throw new DisposedError(
      `${user}: buffer ${buffer.label} was released; keep it until its last use is recorded`,
    );
}

function checkRegion(op: string, region: Region): void {
  checkLive(region.buffer, op);
  checkExtent(op, region, roundUp4(region.buffer.bytes));
}

function checkExtent(op: string, { buffer, offset, bytes }: Region, end: number): void {
  if (offset % 4 !== 0 || bytes % 4 !== 0 || offset < 0 || bytes < 0 || offset + bytes > end) {
    const expected = `multiples of 4 within the ${end} bytes of ${buffer.label}`;
    throw new ArgumentError(op, "region", expected, `offset ${offset}, bytes ${bytes}`);
  }
}

const labels = (commands: readonly Command[]): string[] => [
  ...new Set(commands.map((command) => (command.kind === "dispatch" ? command.kernel.label : command.kind))),
];

// Dawn in Node refuses shared memory, and WebGPU sizes that are no multiple of 4.
function uploadable(data: ArrayBufferView, bytes: number): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = data;
  if (buffer instanceof ArrayBuffer && byteLength === bytes)
    return new Uint8Array(buffer, byteOffset, byteLength);
  const copy = new Uint8Array(bytes);
  copy.set(new Uint8Array(buffer, byteOffset, byteLength));
  return copy;
}
