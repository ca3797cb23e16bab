import { allocateBlock, type Block, freeBlock, type Heap, isInHeap } from "../tensor/heap.ts";
import type { PackedArray, TypedArray } from "../tensor/dtype.ts";
import { CONTROL_BYTES, Threads, type UnitFunction } from "./threads.ts";
import type { ModuleParts } from "./kernels.ts";
import { assembleModule, type KernelShape } from "./wasm/assembler.ts";
import { compileModule, instantiate } from "./wasm/compile.ts";
import type { ArgumentKind, Kernel } from "./wasm/kernel.ts";

/** What a kernel reads or writes. */
type KernelArray = TypedArray | PackedArray;

/** The values of a kernel's arguments. */
export type ArgumentValues<A> = {
  readonly [K in keyof A]: A[K] extends "i32" | "f32" ? number : KernelArray;
};

/** How a kernel is run. */
export interface LaunchOptions {
  /** How many units there are. */
  readonly units: number;
  /** About how long all of it takes one thread, in ns: small work stays on this thread. */
  readonly cost: number;
  /** Bytes of memory that a unit needs for itself. Default 0. */
  readonly scratch?: number;
}

/** Below this cost (ns) waking another thread takes longer than it saves. */
const PARALLEL_COST = 15_000;

/** An operand outside the heap: its copy there. */
interface Borrowed {
  readonly array: KernelArray;
  readonly block: Block;
  readonly kind: ArgumentKind;
}

/** The compiled kernels of one variant over the heap. */
export class Engine {
  readonly shape: KernelShape;
  readonly #heap: Heap;
  readonly #threads: Threads;
  readonly #kernels = new Map<Kernel, { readonly index: number; readonly run: UnitFunction; readonly args: readonly [string, ArgumentKind][] }>();
  #words = new Int32Array(0);
  #floats = new Float32Array(0);
  #scratch: Block | null = null;

  private constructor(heap: Heap, shape: KernelShape, kernels: readonly Kernel[], threads: Threads, functions: readonly UnitFunction[]) {
    this.shape = shape;
    this.#heap = heap;
    this.#threads = threads;
    kernels.forEach((kernel, index) => {
      this.#kernels.set(kernel, { index, run: functions[index], args: Object.entries(kernel.args) });
    });
  }

  /** Compile the parts of a module; null where the engine cannot run this variant. */
  static create(
    heap: Heap, shape: KernelShape, revectorize: boolean, { kernels, functions }: ModuleParts, threadCount: number,
  ): Engine | null {
    const sources = [...functions, ...kernels.map(({ source }) => source)];
    const module = compileModule(assembleModule(sources, shape, heap), revectorize);
    const control = module && allocateBlock(CONTROL_BYTES);
    if (!control) return null;
    const exports = instantiate(module, heap.memory);
    const names = kernels.map(({ name }) => name);
    const run = names.map((name) => exports[name] as UnitFunction);
    return new Engine(heap, shape, kernels, new Threads(heap, control, module, names, run, threadCount), run);
  }

  /** How many threads compute. */
  get threads(): number {
    return this.#threads.count;
  }

  /**
   * Run a kernel; arrays outside the heap are copied in, and out again where it writes them.
   *
   * @returns false where the heap has no room for such copies: nothing was computed
   */
  launch<A extends Readonly<Record<string, ArgumentKind>>>(
    kernel: Kernel<A>, values: ArgumentValues<A>, { units, cost, scratch = 0 }: LaunchOptions,
  ): boolean {
    const known = this.#kernels.get(kernel as unknown as Kernel);
    if (!known) throw new Error(`the kernel ${kernel.name} is not in the module`);
    const borrowed: Borrowed[] = [];
    try {
      for (let i = 0; i < known.args.length; i++) {
        const [name, kind] = known.args[i];
        const value = (values as Record<string, number | KernelArray>)[name];
        const address = typeof value === "number" ? value : this.#addressOf(value, kind, borrowed);
        if (address === null) return false;
        // Growing replaces a memory that is not shared.
        if (this.#words.length === 0) this.#viewArguments();
        if (kind === "f32") this.#floats[i] = address;
        else this.#words[i] = address;
      }
      if (!this.#run(known.index, known.run, units, cost, scratch)) return false;
      for (const { array, block, kind } of borrowed) if (kind !== "in") bytesOf(array).set(this.#view(array, block));
      return true;
    } finally {
      for (const { block } of borrowed) freeBlock(block);
    }
  }

  #run(index: number, run: UnitFunction, units: number, cost: number, scratch: number): boolean {
    const stride = Math.ceil(scratch / 64) * 64;
    const needed = stride * this.#threads.count;
    if (needed > (this.#scratch?.bytes ?? 0)) {
      if (this.#scratch) freeBlock(this.#scratch);
      this.#scratch = allocateBlock(needed);
      if (!this.#scratch) return false;
    }
    const start = this.#scratch?.start ?? 0;
    if (units > 1 && cost > PARALLEL_COST && this.#threads.count > 1) {
      this.#threads.runParallel(index, units, start, stride);
      return true;
    }
    for (let unit = 0; unit < units; unit++) run(this.#threads.argumentAddress, unit, start);
    return true;
  }

  #viewArguments(): void {
    const { buffer } = this.#heap.memory;
    this.#words = new Int32Array(buffer, this.#threads.argumentAddress, 64);
    this.#floats = new Float32Array(buffer, this.#threads.argumentAddress, 64);
  }

  /** Address of an array in the heap, or of a copy of it there; null where there is no room. */
  #addressOf(array: KernelArray, kind: ArgumentKind, borrowed: Borrowed[]): number | null {
    if (isInHeap(array)) return array.byteOffset;
    const block = allocateBlock(array.byteLength);
    if (!block) return null;
    borrowed.push({ array, block, kind });
    if (kind !== "out") this.#view(array, block).set(bytesOf(array));
    return block.start;
  }

  /** The bytes of the copy of an array. */
  #view(array: KernelArray, { start }: Block): Uint8Array {
    if (array instanceof Float64Array) throw new Error("kernels read no f64 arrays");
    return new Uint8Array(this.#heap.memory.buffer, start, array.byteLength);
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: KernelArray): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength);
