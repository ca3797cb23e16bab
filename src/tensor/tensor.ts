import { CpuStorage } from "./cpu-storage.ts";
import { type DType, isFloat, isStored, type PackedArray, type TypedArray } from "./dtype.ts";
import { DisposedError, GraphError, PolargradError } from "./errors.ts";
import { PackedStorage } from "./packed-storage.ts";
import { track } from "./scope.ts";
import { formatShape, type Shape, sizeOf } from "./shape.ts";
import type { Device, Storage } from "./storage.ts";
import { decode } from "./stored-format.ts";

/** How a tensor was computed, for the backward sweep. */
export interface TapeNode {
  readonly op: string;
  readonly inputs: readonly Tensor[];
  /** Which inputs required a gradient when the node was recorded: nothing flows back into others. */
  readonly variables: readonly boolean[];
  /** Inputs, and perhaps the output, whose elements the pullback reads. Those of the others may be gone by then. */
  readonly reads: readonly Tensor[];
  /** `Parameter.version` of each input when the node was recorded. */
  readonly versions: readonly number[];
  /** Cotangents in the order of `inputs`; null where there is none or nobody needs it. */
  pullback(dy: Tensor, needed: readonly boolean[]): (Tensor | null)[];
  /** Set when backward has used the node and let go of what it saved. */
  freed: boolean;
}

/** Options of `Tensor.backward`. */
export interface BackwardOptions {
  /** Cotangent of this tensor; 1 for a scalar when absent. */
  readonly gradient?: Tensor;
  /** Keep the graph for another sweep. Default: `createGraph`. */
  readonly retainGraph?: boolean;
  /** Record the sweep itself, so that gradients can be differentiated again. */
  readonly createGraph?: boolean;
}

type BackwardSweep = (root: Tensor, options: BackwardOptions) => void;
let sweep: BackwardSweep | null = null;

/** The autograd engine announces itself here, so that this layer needs to import nothing. */
export function registerBackward(engine: BackwardSweep): void {
  sweep = engine;
}

// The net below tidy(): device memory of handles that were simply dropped.
const net = new FinalizationRegistry<Storage>((storage) => storage.release());
let created = 0;

/** Id of the newest tensor: a larger one belongs to a tensor made later. */
export const newestTensorId = (): number => created;

/** A leaf that requires a gradient: where sweeps end. */
export const isVariable = (t: Tensor): boolean => t.isLeaf && t.requiresGrad;

/** An immutable n-dimensional array on one device. Made by `tensor()` and by ops; only a `Parameter` can change its value. */
export class Tensor {
  /** Increases with every tensor made: inputs of an op have smaller ids than its output. */
  readonly id: number = ++created;
  readonly shape: Shape;
  /**
   * The gradient that `backward()` accumulated into this leaf, of the same shape; null before. The next `backward()` puts a new
   * tensor here and disposes of this one: `detach()` it to keep it.
   */
  grad: Tensor | null = null;
  /** How it was computed; null for a leaf or when nothing was recorded. */
  node: TapeNode | null = null;
  /** True when only graphs need it any more: the sweep that uses it last frees it. */
  ownedByTape = false;
  /** How many recorded ops, which no sweep has freed, will read its elements. */
  pendingUses = 0;
  #storage: Storage | null;
  #dtype: DType;
  #device: Device;
  #requiresGrad = false;

  /** Takes over one reference of `storage`. */
  constructor(shape: Shape, storage: Storage) {
    if (sizeOf(shape) !== storage.length) {
      throw new PolargradError(`a tensor of shape ${formatShape(shape)} needs ${sizeOf(shape)} elements, got ${storage.length}`);
    }
    // Outputs of the same op share one list, which is then the same at a glance.
    this.shape = Object.isFrozen(shape) ? shape : Object.freeze([...shape]);
    this.#storage = storage;
    this.#dtype = storage.dtype;
    this.#device = storage.device;
    if (storage.device !== "cpu") net.register(this, storage, this);
    track(this);
  }

  /** Element type. */
  get dtype(): DType {
    return this.#dtype;
  }

  /** Where the elements are, or were. */
  get device(): Device {
    return this.#device;
  }

  /** Number of axes. */
  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  /** Whether ops on it are recorded for `backward()`. Can be set on leaves of a float dtype. */
  get requiresGrad(): boolean {
    return this.#requiresGrad;
  }

  set requiresGrad(value: boolean) {
    if (this.node && !value) throw new GraphError("requiresGrad can be changed on leaf tensors only; use detach() to cut the graph");
    if (value && !isFloat(this.dtype)) {
      const advice = isStored(this.dtype) ? '; load or cast it as "f32" to train it' : "";
      throw new GraphError(`only f32 and f64 tensors can require a gradient, this one is ${this.dtype}${advice}`);
    }
    this.#requiresGrad = value;
  }

  /** True for a tensor that no recorded op computed. */
  get isLeaf(): boolean {
    return this.node === null;
  }

  /** The elements' storage. Throws DisposedError after `dispose()`. */
  get storage(): Storage {
    if (!this.#storage) throw new DisposedError(`this tensor of shape ${formatShape(this.shape)} was disposed; keep it by returning it from tidy()`);
    return this.#storage;
  }

  /** True after `dispose()`. */
  get disposed(): boolean {
    return this.#storage === null;
  }

  /**
   * A copy of the elements in row-major order: Float32Array (f32, and the exact values of f16 and bf16), Float64Array (f64) or
   * Int32Array (i32, bool).
   */
  async data(): Promise<TypedArray> {
    const { dtype } = this;
    const elements = await this.storage.read();
    return isStored(dtype) ? decode(dtype, elements as PackedArray) : (elements as TypedArray);
  }

  /** The elements without a wait, and without a copy unless they have to be decoded; only on the CPU. */
  dataSync(): TypedArray {
    if (this.storage instanceof CpuStorage) return this.storage.expose();
    if (this.storage instanceof PackedStorage) return decode(this.storage.dtype, this.storage.data);
    throw new PolargradError("dataSync() reads CPU tensors only; await data() for a tensor on webgpu");
  }

  /** The value of a tensor of one element. */
  async item(): Promise<number> {
    if (this.size !== 1) throw new PolargradError(`item() needs a tensor of one element, this one is ${formatShape(this.shape)}`);
    return (await this.data())[0];
  }

  /**
   * Accumulate the gradient of this scalar into `.grad` of every leaf that requires one.
   *
   * @throws GraphError when nothing was recorded, the graph was freed, or the tensor is not a scalar and no gradient is given.
   */
  backward(options: BackwardOptions = {}): void {
    if (!sweep) throw new GraphError("backward(): import polargrad's ops first");
    sweep(this, options);
  }

  /** The same elements as a leaf outside the graph; no copy. */
  detach(): Tensor {
    this.storage.retain();
    return new Tensor(this.shape, this.storage);
  }

  /** The tensor lives long: on the CPU, its elements move to where kernels read them in place. */
  settle(): void {
    this.#storage?.settle?.();
  }

  /** Let go of the elements. Safe to call twice. */
  dispose(): void {
    if (!this.#storage) return;
    net.unregister(this);
    this.#storage.release();
    this.#storage = null;
  }

  /** Swap the elements; the sole way a value changes, used by `Parameter.assign`. */
  protected replaceStorage(next: Storage): void {
    const old = this.storage;
    net.unregister(this);
    next.retain();
    this.#storage = next;
    this.#dtype = next.dtype;
    this.#device = next.device;
    if (next.device !== "cpu") net.register(this, next, this);
    old.release();
  }

  /** `Tensor(2×3, f32, cpu)`. */
  toString(): string {
    return this.#storage ? `Tensor(${formatShape(this.shape)}, ${this.dtype}, ${this.device})` : "Tensor(disposed)";
  }
}
