import { type Command, encode, type PassTimer } from "./commands.ts";
import { MAP_READ, USAGE } from "./constants.ts";

/** A dispatch as a trace tells it. */
export interface TracedDispatch {
  readonly kernel: string;
  /** Workgroups. */
  readonly grid: readonly [number, number, number];
  /** Bytes of the buffers that it binds. */
  readonly bytes: number;
  /** From its first workgroup to its last; null where the adapter has no timestamp queries. */
  readonly microseconds: number | null;
}

/** Dawn rounds timestamps to about 65 µs unless it is started with this. */
export const EXACT_TIMES = "disable-dawn-features=timestamp_quantization";

/**
 * Times each dispatch, for POLARGRAD_TRACE=1: every one gets a pass of its own between two timestamps, so that the whole
 * takes longer than without.
 */
export class Tracer {
  readonly #device: GPUDevice;
  readonly #report: (dispatch: TracedDispatch) => void;
  #last: Promise<unknown> = Promise.resolve();

  constructor(device: GPUDevice, report: (dispatch: TracedDispatch) => void = printDispatch) {
    this.#device = device;
    this.#report = report;
  }

  /** Encodes `commands`; call `report` of what this returns when they are submitted. */
  encode(commands: readonly Command[]): { readonly buffer: GPUCommandBuffer; readonly report: () => void } {
    const dispatches = commands.filter((command) => command.kind === "dispatch");
    const traced = (times: BigUint64Array | null): void =>
      dispatches.forEach(({ kernel, grid, bytes }, i) => {
        const microseconds = times && Number(times[2 * i + 1] - times[2 * i]) / 1000;
        this.#report({ kernel: kernel.label, grid, bytes, microseconds });
      });
    if (dispatches.length === 0 || !this.#device.features.has("timestamp-query")) {
      return { buffer: encode(this.#device, commands), report: () => traced(null) };
    }
    const clock = new Clock(this.#device, dispatches.length);
    const buffer = encode(this.#device, commands, clock);
    return {
      buffer,
      report: () => {
        const times = clock.read();
        this.#last = this.#last.then(() => times).then(traced, () => undefined);
      },
    };
  }
}

/** Two timestamps for each pass of one submit. */
class Clock implements PassTimer {
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #readable: GPUBuffer;
  readonly #bytes: number;
  #next = 0;

  constructor(device: GPUDevice, passes: number) {
    this.#bytes = 16 * passes;
    this.#queries = device.createQuerySet({ type: "timestamp", count: 2 * passes });
    const size = this.#bytes;
    this.#resolved = device.createBuffer({ label: "times", size, usage: USAGE.queryResolve | USAGE.copySource });
    this.#readable = device.createBuffer({ label: "times", size, usage: USAGE.mapRead | USAGE.copyTarget });
  }

  pass(): GPUComputePassDescriptor {
    const at = 2 * this.#next++;
    return { timestampWrites: { querySet: this.#queries, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 } };
  }

  finish(encoder: GPUCommandEncoder): void {
    encoder.resolveQuerySet(this.#queries, 0, this.#bytes / 8, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, this.#readable, 0, this.#bytes);
  }

  /** Nanoseconds, start and end of each pass. */
  async read(): Promise<BigUint64Array> {
    await this.#readable.mapAsync(MAP_READ);
    const times = new BigUint64Array(this.#readable.getMappedRange().slice(0));
    for (const used of [this.#queries, this.#resolved, this.#readable]) used.destroy();
    return times;
  }
}

/** One line on stderr: microseconds, kernel, grid, bytes, in columns that `sort` and `awk -F'\t'` can work on. */
function printDispatch({ kernel, grid, bytes, microseconds }: TracedDispatch): void {
  const time = microseconds === null ? "-" : microseconds.toFixed(1);
  console.error(`trace\t${time.padStart(9)} µs\t${kernel}\t${grid.join("x")}\t${bytes} B`);
}
