import { getGeneratorState } from "../tensor/generator.ts";
import { ArgumentError, DisposedError } from "../tensor/errors.ts";
import type { GpuBuffer } from "./buffer.ts";
import type { Command } from "./commands.ts";
import { USAGE } from "./constants.ts";
import type { Feed, RecordedDispatch, RecordedEffect, RecordedStep, RecordedUpload } from "./recorder.ts";
import { SLOT_BYTES } from "./uniform-ring.ts";

const SLOT_WORDS = SLOT_BYTES / 4;

/** Where the elements of a feed stand in the uploads. */
interface Inlet {
  readonly feed: Feed;
  readonly at: number;
  readonly bytes: number;
}

/**
 * The work of a function, ready to be queued again: commands with bind groups, parameters and uploads of their own. What
 * changes from run to run are the elements that feeds give and the numbers of random streams.
 */
export class Recording {
  readonly commands: readonly Command[];
  readonly dispatches: number;
  /** Buffers that the function used and did not make. */
  readonly outside: readonly GpuBuffer[];
  readonly #queue: GPUQueue;
  readonly #params: GPUBuffer;
  readonly #words: Uint32Array<ArrayBuffer>;
  readonly #uploads: GPUBuffer | null;
  readonly #inlets: readonly Inlet[];
  /** Words that count random streams, with their value in the recorded run. */
  readonly #random: readonly { readonly word: number; readonly stream: number }[];
  readonly #firstDraw: number;
  readonly #effects: readonly RecordedEffect[];
  #destroyed = false;

  /** @param firstDraw draws of the generator when the recorded run began */
  constructor(device: GPUDevice, layout: GPUBindGroupLayout, steps: readonly RecordedStep[], outside: readonly GpuBuffer[], firstDraw: number) {
    const dispatches = steps.filter((step) => step.kind === "dispatch");
    const uploads = steps.filter((step) => step.kind === "upload");
    const slots = slotsOf(dispatches);
    this.#queue = device.queue;
    this.#words = new Uint32Array(Math.max(1, slots.count) * SLOT_WORDS);
    for (const step of dispatches) this.#words.set(step.params, slotOf(slots, step) * SLOT_WORDS);
    this.#params = device.createBuffer({ label: "recorded parameters", size: this.#words.byteLength, usage: USAGE.uniform | USAGE.copyTarget });
    this.#queue.writeBuffer(this.#params, 0, this.#words);
    this.#random = dispatches.flatMap((step) => {
      const { randomStream } = step;
      return randomStream === undefined ? [] : [{ word: slotOf(slots, step) * SLOT_WORDS + randomStream, stream: step.params[randomStream] }];
    });
    this.#firstDraw = firstDraw;
    const offsets = new Map<RecordedUpload, number>();
    let bytes = 0;
    for (const upload of uploads) {
      offsets.set(upload, bytes);
      bytes += upload.data.byteLength;
    }
    this.#uploads = bytes === 0 ? null : device.createBuffer({ label: "recorded uploads", size: bytes, usage: USAGE.copySource | USAGE.copyTarget });
    for (const [{ data }, at] of offsets) if (this.#uploads) this.#queue.writeBuffer(this.#uploads, at, data);
    this.#inlets = uploads.flatMap((upload) => {
      const { feed, data } = upload;
      return feed ? [{ feed, at: offsets.get(upload) ?? 0, bytes: data.byteLength }] : [];
    });
    const groups = Array.from({ length: slots.count }, (_, slot) =>
      device.createBindGroup({
        label: "recorded parameters",
        layout,
        entries: [{ binding: 0, resource: { buffer: this.#params, offset: slot * SLOT_BYTES, size: SLOT_BYTES } }],
      }),
    );
    this.#effects = steps.filter((step) => step.kind === "effect");
    this.commands = steps.filter((step) => step.kind !== "effect").map((step) => {
      if (step.kind !== "upload") return commandOf(step, (dispatch) => groups[slotOf(slots, dispatch)]);
      const [target] = step.buffers;
      return {
        kind: "copy",
        source: this.#uploads as GPUBuffer,
        sourceOffset: offsets.get(step) ?? 0,
        target: target.buffer,
        targetOffset: target.offset + step.offset,
        bytes: step.data.byteLength,
      };
    });
    this.dispatches = dispatches.length;
    this.outside = outside;
  }

  /** Whether all tensors that it used are still where they were. */
  get current(): boolean {
    return !this.#destroyed && this.outside.every((buffer) => buffer.live);
  }

  /** Sets what changes from run to run. Runs that are queued must have been submitted: an upload would overtake them. */
  prepare(): void {
    if (this.#destroyed) throw new DisposedError("a recording was queued after it had been destroyed");
    const shift = getGeneratorState().draws - this.#firstDraw;
    for (const { word, stream } of this.#random) this.#words[word] = stream + shift;
    const fed = this.#inlets.map(({ feed, at, bytes }) => ({ at, bytes, data: feed() }));
    for (const { bytes, data } of fed) {
      if (Math.ceil(data.byteLength / 4) * 4 !== bytes) throw new ArgumentError("hostTensor", "values", `${bytes} bytes as in the runs before`, `${data.byteLength}`);
    }
    if (this.#random.length > 0) this.#queue.writeBuffer(this.#params, 0, this.#words);
    for (const { at, bytes, data } of fed) {
      const padded = new Uint8Array(bytes);
      padded.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
      if (this.#uploads) this.#queue.writeBuffer(this.#uploads, at, padded);
    }
  }

  /** Does on the host what the function did there in every run. */
  finish(): void {
    for (const { run } of this.#effects) run();
  }

  /** Frees its parameters and uploads. It must not be queued any more. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#params.destroy();
    this.#uploads?.destroy();
  }
}

/** A slot for each list of parameters; dispatches with equal ones share it. */
interface Slots {
  readonly bySteps: ReadonlyMap<RecordedDispatch, number>;
  readonly count: number;
}

function slotsOf(dispatches: readonly RecordedDispatch[]): Slots {
  const bySteps = new Map<RecordedDispatch, number>();
  const byWords = new Map<string, number>();
  for (const step of dispatches) {
    const key = `${step.randomStream} ${step.params.join()}`;
    const slot = byWords.get(key) ?? byWords.size;
    byWords.set(key, slot);
    bySteps.set(step, slot);
  }
  return { bySteps, count: byWords.size };
}

const slotOf = ({ bySteps }: Slots, step: RecordedDispatch): number => bySteps.get(step) ?? 0;

function commandOf(step: Exclude<RecordedStep, RecordedUpload | RecordedEffect>, groupOf: (step: RecordedDispatch) => GPUBindGroup): Command {
  if (step.kind === "dispatch") {
    const { kernel, group, grid } = step;
    const bytes = step.buffers.reduce((sum, buffer) => sum + buffer.bytes, 0);
    return { kind: "dispatch", kernel, buffers: group, params: groupOf(step), grid, bytes };
  }
  if (step.kind === "clear") return { kind: "clear", target: step.buffers[0].buffer, offset: step.buffers[0].offset + step.offset, bytes: step.bytes };
  const [source, target] = step.buffers;
  const sourceOffset = source.offset + step.sourceOffset;
  const targetOffset = target.offset + step.targetOffset;
  return { kind: "copy", source: source.buffer, sourceOffset, target: target.buffer, targetOffset, bytes: step.bytes };
}
