import { watchInputs } from "../autograd/index.ts";
import type { GpuBuffer } from "../gpu/buffer.ts";
import type { BufferPool } from "../gpu/buffer-pool.ts";
import type { Gpu } from "../gpu/device.ts";
import { GpuStorage } from "../gpu/gpu-storage.ts";
import { differenceOf, type RecordedStep, writtenBy } from "../gpu/recorder.ts";
import type { Recording } from "../gpu/recording.ts";
import { PolargradError } from "../tensor/errors.ts";
import { getGeneratorState, setGeneratorState } from "../tensor/generator.ts";
import { Parameter } from "../tensor/parameter.ts";
import { keep } from "../tensor/scope.ts";
import { sameShape } from "../tensor/shape.ts";
import type { Storage } from "../tensor/storage.ts";
import { Tensor } from "../tensor/tensor.ts";

/** A function cannot be captured: it does not do the same in every run. */
export class CaptureError extends PolargradError {
  override readonly name = "CaptureError";
}

/** Runs of one function that may differ before it counts as one that cannot be captured. */
const MOST_ATTEMPTS = 4;

const bufferOf = (tensor: Tensor): GpuBuffer => (tensor.storage as GpuStorage).buffer;

const wordBytes = ({ bytes }: GpuBuffer): number => Math.ceil(bytes / 4) * 4;

/** The recording for one shape of the arguments, or the way to it. */
export class CapturePlan {
  readonly #gpu: Gpu;
  /** What the function sees in place of its arguments. */
  readonly #statics: readonly Tensor[];
  /** Where a replay leaves its results. */
  #results: readonly Tensor[] = [];
  #before: readonly RecordedStep[] | null = null;
  #attempts = 0;
  #recording: Recording | null = null;
  #laneVersion = -1;
  /** The parameters that a run read, and where their values were. */
  #parameters: ReadonlyMap<Parameter, Storage> = new Map();
  /** Those of their storages that it changed. */
  #changed: readonly GpuStorage[] = [];
  /** Random streams that a run takes. */
  #draws = 0;

  #isRefused = false;
  readonly #onRefusal: (reason: string) => void;

  constructor(gpu: Gpu, args: readonly Tensor[], onRefusal: (reason: string) => void) {
    this.#gpu = gpu;
    this.#onRefusal = onRefusal;
    this.#statics = args.map((arg) => keep(this.#like(arg, "argument")));
  }

  run(args: readonly Tensor[], f: (args: readonly Tensor[]) => Tensor[]): Tensor[] {
    if (this.#isRefused) return f(args);
    for (const [i, arg] of args.entries()) this.#copy(arg, this.#statics[i]);
    const recording = this.#valid();
    if (recording) this.#replay(recording);
    else this.#record(f);
    return this.#results.map((result) => {
      const copy = this.#like(result, "result");
      this.#copy(result, copy);
      return copy;
    });
  }

  /** The recording, if everything that it works in is still where it was. */
  #valid(): Recording | null {
    const stays = this.#laneVersion === this.#gpu.pool.laneVersion && this.#recording?.current;
    const unmoved = ([parameter, storage]: [Parameter, Storage]): boolean => !parameter.disposed && parameter.storage === storage;
    // Who else holds the elements of a parameter must keep them: only a run of the function copies them first.
    const alone = (storage: GpuStorage): boolean => !storage.isShared;
    return stays && [...this.#parameters].every(unmoved) && this.#changed.every(alone) ? this.#recording : null;
  }

  dispose(): void {
    this.#drop();
    for (const own of [...this.#statics, ...this.#results]) own.dispose();
  }

  #like({ shape, dtype, size }: Tensor, label: string): Tensor {
    return new Tensor(shape, GpuStorage.allocate(this.#gpu, dtype, size, label));
  }

  #copy(source: Tensor, target: Tensor): void {
    this.#gpu.stream.copy(bufferOf(source), bufferOf(target), wordBytes(bufferOf(source)));
  }

  #replay(recording: Recording): void {
    this.#gpu.stream.replay(recording);
    const { seed, draws } = getGeneratorState();
    setGeneratorState({ seed, draws: draws + this.#draws });
  }

  #drop(): void {
    if (!this.#recording) return;
    if (this.#gpu.healthy) this.#gpu.stream.flush();
    this.#recording.destroy();
    this.#recording = null;
    this.#before = null;
    this.#attempts = 0;
  }

  /** Runs the function and keeps what it did, if it is what it did the last time. */
  #record(f: (statics: readonly Tensor[]) => readonly Tensor[]): void {
    const { stream, pool } = this.#gpu;
    this.#drop();
    const { draws } = getGeneratorState();
    const { laneVersion } = pool;
    // What an earlier run did cannot be compared any more.
    if (this.#laneVersion !== laneVersion) this.#before = null;
    this.#laneVersion = laneVersion;
    const parameters = new Map<Parameter, Storage>();
    const watch = (input: Tensor): void => void (input instanceof Parameter && parameters.set(input, input.storage));
    const { value, steps } = this.#inLane(() => stream.recorder.record(() => watchInputs(watch, () => f(this.#statics))));
    const all = [...steps, ...this.#takeResults(value)];
    const [kept] = pool.leaveLane();
    const outside = outsideOf(all, pool);
    // Memory ran short: the run's own buffers have gone to everybody.
    const isShort = !kept && pool.laneVersion !== laneVersion;
    const problem = kept ? `it keeps ${kept.label} of ${kept.bytes} bytes; return it, or free it before the function ends` : this.#problemOf(all, outside);
    if (isShort) return;
    if (problem === null) {
      this.#recording = stream.recordingOf(all, outside, draws);
      this.#draws = getGeneratorState().draws - draws;
      this.#parameters = parameters;
      this.#changed = changedOf(all, parameters.values());
      return;
    }
    this.#before = all;
    if (++this.#attempts < MOST_ATTEMPTS) return;
    this.#onRefusal(`this function cannot be captured: ${problem}`);
    this.#isRefused = true;
  }

  #inLane<T>(f: () => T): T {
    try {
      return this.#gpu.pool.inLane(f);
    } catch (error) {
      this.#gpu.pool.leaveLane();
      throw error;
    }
  }

  /** Copies the results to where every replay leaves them; the steps of that. */
  #takeResults(values: readonly Tensor[]): RecordedStep[] {
    const fits = values.length === this.#results.length && values.every((value, i) => value.dtype === this.#results[i].dtype && sameShape(value.shape, this.#results[i].shape));
    if (!fits) {
      for (const old of this.#results) old.dispose();
      this.#results = values.map((value) => keep(this.#like(value, "result")));
    }
    return values.map((value, i) => {
      const buffers = [bufferOf(value), bufferOf(this.#results[i])] as const;
      this.#copy(value, this.#results[i]);
      value.dispose();
      return { kind: "copy", buffers, sourceOffset: 0, targetOffset: 0, bytes: wordBytes(buffers[0]) };
    });
  }

  /** Why a run cannot be replayed, as the end of a sentence; null when it can. */
  #problemOf(steps: readonly RecordedStep[], outside: readonly GpuBuffer[]): string | null {
    const replaced = outside.find((buffer) => !buffer.live);
    if (replaced) return `it replaces ${replaced.label} of ${replaced.bytes} bytes; what lives longer than the function must be changed in place`;
    if (!this.#before) return "it has run once only";
    const difference = differenceOf(this.#before, steps, (buffer) => this.#gpu.pool.ownedByLane(buffer));
    return difference && `from one run to the next, ${difference}; numbers of the host that change must come through hostTensor()`;
  }
}

/** The buffers that a run used and did not make. */
function outsideOf(steps: readonly RecordedStep[], pool: BufferPool): GpuBuffer[] {
  const used = new Set(steps.flatMap((step) => step.buffers.map((buffer) => buffer.lease)));
  return [...used].filter((buffer) => !pool.ownedByLane(buffer));
}

/** Those of some storages whose elements a run changed. */
function changedOf(steps: readonly RecordedStep[], storages: Iterable<Storage>): GpuStorage[] {
  const written = new Set(steps.flatMap(writtenBy).map((buffer) => buffer.lease));
  return ([...storages] as GpuStorage[]).filter(({ buffer }) => written.has(buffer.lease));
}
