import type { GpuBuffer } from "./buffer.ts";
import type { CompiledKernel } from "./kernel.ts";

/** Gives the elements of an upload anew for every run. */
export type Feed = () => ArrayBufferView;

/** A run of a kernel, with what a later run of the same must set. */
export interface RecordedDispatch {
  readonly kind: "dispatch";
  readonly kernel: CompiledKernel;
  readonly buffers: readonly GpuBuffer[];
  readonly group: GPUBindGroup;
  readonly params: Uint32Array;
  readonly grid: readonly [number, number, number];
  /** Position in `params` of the number of the random stream it draws from, which goes on from run to run. */
  readonly randomStream: number | undefined;
}

/** A copy between buffers; offsets and bytes are multiples of 4. */
export interface RecordedCopy {
  readonly kind: "copy";
  readonly buffers: readonly [source: GpuBuffer, target: GpuBuffer];
  readonly sourceOffset: number;
  readonly targetOffset: number;
  readonly bytes: number;
}

/** A fill with zeros. */
export interface RecordedClear {
  readonly kind: "clear";
  readonly buffers: readonly [GpuBuffer];
  readonly offset: number;
  readonly bytes: number;
}

/** Elements from the host: the same in every run, or what `feed` gives. */
export interface RecordedUpload {
  readonly kind: "upload";
  readonly buffers: readonly [GpuBuffer];
  readonly offset: number;
  readonly data: Uint8Array<ArrayBuffer>;
  readonly feed: Feed | null;
}

/** Something that the host does at every replay. */
export interface RecordedEffect {
  readonly kind: "effect";
  readonly buffers: readonly [];
  readonly run: () => void;
}

/** One thing that was done while a function was recorded. */
export type RecordedStep = RecordedDispatch | RecordedCopy | RecordedClear | RecordedUpload | RecordedEffect;

function nameOf(step: RecordedStep): string {
  if (step.kind === "dispatch") return step.kernel.label;
  return step.kind === "effect" ? "an effect on the host" : `the ${step.kind} of ${step.buffers[0].label}`;
}

/** The buffers that a step writes. */
export function writtenBy(step: RecordedStep): readonly GpuBuffer[] {
  if (step.kind === "dispatch") return step.buffers.filter((_, i) => step.kernel.bindings[i] === "read_write");
  return step.buffers.slice(-1);
}

/**
 * What tells two runs of the same function apart, as the end of a sentence; null when the second does the same as the first
 * to the same buffers. Those that `isOwn` are the runs' own: they may differ.
 */
export function differenceOf(before: readonly RecordedStep[], now: readonly RecordedStep[], isOwn: (buffer: GpuBuffer) => boolean): string | null {
  for (const [i, step] of now.entries()) {
    const old = before[i];
    if (!old || !sameWork(old, step)) return `step ${i + 1} was ${old ? nameOf(old) : "not there"}, then ${nameOf(step)}`;
    const values = old.kind === "dispatch" ? old.params : old.kind === "upload" && !old.feed ? old.data : null;
    const next = step.kind === "dispatch" ? step.params : step.kind === "upload" ? step.data : null;
    const random = step.kind === "dispatch" ? step.randomStream : undefined;
    if (values && next && (values.length !== next.length || values.some((value, at) => value !== next[at] && at !== random))) {
      return `a number in ${nameOf(step)} (step ${i + 1}) changed`;
    }
    const other = step.buffers.findIndex((buffer, at) => !samePlace(buffer, old.buffers[at]) && !(isOwn(buffer) && isOwn(old.buffers[at])));
    if (other >= 0) return `${nameOf(step)} (step ${i + 1}) used another tensor ${step.buffers[other].label}`;
  }
  return before.length > now.length ? `step ${now.length + 1} was ${nameOf(before[now.length])}, then not there` : null;
}

const samePlace = (a: GpuBuffer, b: GpuBuffer): boolean => a.lease === b.lease && a.offset === b.offset;

function sameWork(a: RecordedStep, b: RecordedStep): boolean {
  if (a.kind === "dispatch" && b.kind === "dispatch") return a.kernel === b.kernel && a.grid.every((groups, axis) => groups === b.grid[axis]);
  if (a.kind === "copy" && b.kind === "copy") {
    return a.bytes === b.bytes && a.sourceOffset === b.sourceOffset && a.targetOffset === b.targetOffset;
  }
  if (a.kind === "clear" && b.kind === "clear") return a.bytes === b.bytes && a.offset === b.offset;
  if (a.kind === "upload" && b.kind === "upload") return a.offset === b.offset && (a.feed === null) === (b.feed === null);
  return a.kind === b.kind;
}

/** Takes down what a stream is told while a function runs. */
export class Recorder {
  #steps: RecordedStep[] | null = null;
  #feed: Feed | null = null;

  get isRecording(): boolean {
    return this.#steps !== null;
  }

  /** What gives the elements of the uploads at this moment, if something does. */
  get feed(): Feed | null {
    return this.#feed;
  }

  /** Takes a step down, if a function is being recorded. */
  add(step: RecordedStep): void {
    this.#steps?.push(step);
  }

  /** Runs `f`, and returns the steps beside what it returns. */
  record<T>(f: () => T): { readonly value: T; readonly steps: readonly RecordedStep[] } {
    const steps: RecordedStep[] = [];
    return { value: this.#with(steps, f), steps };
  }

  /** Runs `f` without taking it down. */
  pause<T>(f: () => T): T {
    return this.#with(null, f);
  }

  #with<T>(steps: RecordedStep[] | null, f: () => T): T {
    const before = this.#steps;
    this.#steps = steps;
    try {
      return f();
    } finally {
      this.#steps = before;
    }
  }

  /** Runs `upload`, whose uploads have the elements that `feed` gives, in every later run too. */
  feeding<T>(feed: Feed, upload: () => T): T {
    const before = this.#feed;
    this.#feed = feed;
    try {
      return upload();
    } finally {
      this.#feed = before;
    }
  }
}
