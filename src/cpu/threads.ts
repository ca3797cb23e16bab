import { ArgumentError, DeviceError } from "../tensor/errors.ts";
import type { Block, Heap } from "../tensor/heap.ts";
import { nodeMajor, type WasmModule } from "./wasm/compile.ts";

/** Computes one unit of a kernel: address of the arguments, unit, address of memory of its own. */
export type UnitFunction = (args: number, unit: number, scratch: number) => void;

// Control words, those that several threads write a cache line apart.
const JOB = 0;
const NEXT = 16;
const ACTIVE = 32;
const SLEEPING = 48;
const UNITS = 64;
const KERNEL = 65;
const SCRATCH = 66;
const STRIDE = 67;
const FAULT = 68;
/** Index of the first argument's word, and how many words there are. */
const ARGS = 128;
const WORDS = ARGS + 64;
/** Value of NEXT while there is no job: above every unit. */
const CLOSED = 1 << 30;
/** How often a thread looks again before it sleeps: some 50 µs, longer than the gap between two ops of a step. */
const SPIN = 20_000;

/**
 * A worker thread: waits for a job, claims units one by one until none is left. A unit's result does not
 * depend on who computes it, so neither do results on the number of threads.
 */
const WORKER = `
const { workerData: { module, memory, names, id, control } } = require("node:worker_threads");
const instance = new WebAssembly.Instance(module, { env: { memory } });
const kernels = names.map((name) => instance.exports[name]);
const words = new Int32Array(memory.buffer, control, ${WORDS});
let job = 0;
for (;;) {
  for (let turn = 0; Atomics.load(words, ${JOB}) === job; turn++) {
    if (turn < ${SPIN}) continue;
    Atomics.add(words, ${SLEEPING}, 1);
    Atomics.wait(words, ${JOB}, job);
    Atomics.sub(words, ${SLEEPING}, 1);
  }
  job = Atomics.load(words, ${JOB});
  Atomics.add(words, ${ACTIVE}, 1);
  try {
    for (let unit; (unit = Atomics.add(words, ${NEXT}, 1)) < words[${UNITS}];)
      kernels[words[${KERNEL}]](control + ${ARGS * 4}, unit, words[${SCRATCH}] + id * words[${STRIDE}]);
  } catch {
    Atomics.store(words, ${FAULT}, 1);
  }
  Atomics.sub(words, ${ACTIVE}, 1);
  Atomics.notify(words, ${ACTIVE});
}`;

/** Bytes that a pool of threads needs for its control words and arguments. */
export const CONTROL_BYTES = WORDS * 4;

/** Runs kernels of one module on this thread and on workers that share its memory. */
export class Threads {
  readonly count: number;
  /** Address of a job's arguments. */
  readonly argumentAddress: number;
  readonly #control: Block;
  readonly #words: Int32Array;
  readonly #module: WasmModule;
  readonly #heap: Heap;
  readonly #names: readonly string[];
  readonly #kernels: readonly UnitFunction[];
  #started = false;

  /** @param kernels the functions on this thread, by index; @param names their exports */
  constructor(heap: Heap, control: Block, module: WasmModule, names: readonly string[], kernels: readonly UnitFunction[], count: number) {
    this.#heap = heap;
    this.#control = control;
    this.argumentAddress = control.start + ARGS * 4;
    this.#module = module;
    this.#names = names;
    this.#kernels = kernels;
    this.count = heap.shared && nodeMajor() > 0 ? count : 1;
    this.#words = new Int32Array(heap.memory.buffer, control.start, ARGS).fill(0);
  }

  /**
   * Compute units 0 to `units - 1` of a kernel whose arguments are in place, on all threads.
   *
   * @throws DeviceError where a worker failed
   */
  runParallel(kernel: number, units: number, scratch: number, stride: number): void {
    if (!this.#started) this.#start();
    const words = this.#words;
    const run = this.#kernels[kernel];
    words[UNITS] = units;
    words[KERNEL] = kernel;
    words[SCRATCH] = scratch;
    words[STRIDE] = stride;
    words[FAULT] = 0;
    Atomics.store(words, NEXT, 0);
    Atomics.add(words, JOB, 1);
    if (Atomics.load(words, SLEEPING) > 0) Atomics.notify(words, JOB);
    try {
      for (let unit = Atomics.add(words, NEXT, 1); unit < units; unit = Atomics.add(words, NEXT, 1)) {
        run(this.argumentAddress, unit, scratch);
      }
    } finally {
      Atomics.store(words, NEXT, CLOSED);
      this.#join();
    }
    if (Atomics.load(words, FAULT) !== 0) throw new DeviceError(`a thread failed in the kernel ${this.#names[kernel]}`);
  }

  /** Wait until no worker computes or claims a unit. */
  #join(): void {
    for (let turn = 0; ; turn++) {
      const active = Atomics.load(this.#words, ACTIVE);
      if (active === 0) return;
      if (turn > SPIN) Atomics.wait(this.#words, ACTIVE, active, 1);
    }
  }

  /** Start the workers; this thread does their share until they are up. */
  #start(): void {
    this.#started = true;
    Atomics.store(this.#words, NEXT, CLOSED);
    const { Worker } = process.getBuiltinModule("node:worker_threads");
    for (let id = 1; id < this.count; id++) {
      const workerData = { module: this.#module, memory: this.#heap.memory, names: this.#names, id, control: this.#control.start };
      const worker = new Worker(WORKER, { eval: true, workerData, execArgv: [], name: `polargrad ${id}` });
      // An idle pool does not keep the process alive.
      worker.unref();
    }
  }
}

/**
 * How many threads compute: POLARGRAD_THREADS, else one for each core that this process may use.
 *
 * @throws ArgumentError for a value that is no count
 */
export function threadCount(): number {
  if (nodeMajor() === 0) return 1;
  const wanted = process.env.POLARGRAD_THREADS;
  if (!wanted) return process.getBuiltinModule("node:os").availableParallelism();
  const count = Number(wanted);
  if (Number.isInteger(count) && count >= 1 && count <= 256) return count;
  throw new ArgumentError("the CPU", "POLARGRAD_THREADS", "a whole number from 1 to 256", JSON.stringify(wanted));
}
