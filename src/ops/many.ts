import { adamwF32, type AdamwNumbers, scaleF32, squareSumF32 } from "../cpu/many.ts";
import { zeroArena } from "../gpu/arena.ts";
import type { GpuStorage } from "../gpu/gpu-storage.ts";
import { ADAMW_NUMBERS, adamwOnGpu, clippedOnGpu } from "../gpu/many.ts";
import { CpuStorage } from "../tensor/cpu-storage.ts";
import { sameShape } from "../tensor/shape.ts";
import type { Device } from "../tensor/storage.ts";
import { Tensor } from "../tensor/tensor.ts";
import { adamwUpdate } from "./adamw-update.ts";
import { add } from "./add.ts";
import { full, zeros } from "./create.ts";
import { div } from "./div.ts";
import { hostTensor } from "./host-tensor.ts";
import { currentGpu } from "./init.ts";
import { ema } from "./ema.ts";
import { emaSquare } from "./ema-square.ts";
import { minimum } from "./minimum.ts";
import { mul } from "./mul.ts";
import { sqrt } from "./sqrt.ts";
import { sum } from "./sum.ts";

export type { AdamwNumbers } from "../cpu/many.ts";

/** A parameter, its gradient and its moments, all of one shape. */
export interface AdamwTensors {
  readonly p: Tensor;
  readonly g: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
}

/** Parameters of one device and dtype that take the same step. */
export interface AdamwSet {
  readonly tensors: readonly AdamwTensors[];
  /** Of the step that comes next. */
  numbers(): AdamwNumbers;
}

/** Values after an AdamW step; `p` is a new handle, the moments may be those that were given. */
export type AdamwResult = Pick<AdamwTensors, "p" | "m" | "v">;

/**
 * One AdamW step of sets of parameters, one set after the other, not recorded; as one kernel for a set in f32. Only the caller may
 * hold the moments, whose elements may be overwritten; on webgpu those of a parameter too, unless another tensor shares them.
 */
export function* adamwMany<S extends AdamwSet>(sets: readonly S[]): Generator<[set: S, results: AdamwResult[]], void> {
  const isOnGpu = sets.map(({ tensors }) => onGpu(tensors.flatMap(({ p, g, m, v }) => [p, g, m, v])) && tensors.every(haveOneShape));
  const table = isOnGpu.includes(true) ? numbersTable(sets.filter((_, i) => isOnGpu[i])) : null;
  let row = 0;
  try {
    for (const [i, set] of sets.entries()) {
      yield [set, table && isOnGpu[i] ? adamwSetOnGpu(set.tensors, table, row++) : adamwSet(set)];
    }
  } finally {
    table?.dispose();
  }
}

/** The numbers of a step as a table on webgpu, a row for each set: see `adamwOnGpu`. */
const numbersTable = (sets: readonly AdamwSet[]): Tensor =>
  hostTensor(() => Float32Array.from(sets.flatMap((set) => rowOf(set.numbers()))), { shape: [sets.length, ADAMW_NUMBERS], device: "webgpu" });

const rowOf = ({ beta1, beta2, lr, eps, decay, correction1, correction2 }: AdamwNumbers): number[] =>
  [beta1, 1 - beta1, beta2, 1 - beta2, 1 - lr * decay, lr / correction1, Math.sqrt(correction2), eps];

function adamwSetOnGpu(tensors: readonly AdamwTensors[], table: Tensor, row: number): AdamwResult[] {
  const column = (name: keyof AdamwTensors): GpuStorage[] => tensors.map((one) => onGpuOf(one[name]));
  const columns = { p: column("p"), g: column("g"), m: column("m"), v: column("v") };
  const next = adamwOnGpu(columns.p[0].gpu, columns, onGpuOf(table), row);
  return tensors.map(({ p, m, v }, i) => ({
    p: next.p[i] === p.storage ? p.detach() : new Tensor(p.shape, next.p[i]),
    m: next.m[i] === m.storage ? m : new Tensor(m.shape, next.m[i]),
    v: next.v[i] === v.storage ? v : new Tensor(v.shape, next.v[i]),
  }));
}

function adamwSet({ tensors, numbers: numbersOf }: AdamwSet): AdamwResult[] {
  const numbers = numbersOf();
  const { beta1, beta2, lr, eps, decay, correction1, correction2 } = numbers;
  const next = elementsOf(tensors.flatMap(({ p, g, m, v }) => [p, g, m, v])) && outputs(tensors.map(({ p }) => p));
  if (next) {
    const rows = tensors.map(({ p, g, m, v }, i) => ({
      p: dataOf(p), g: dataOf(g), m: dataOf(m), v: dataOf(v), out: dataOf(next[i]),
    }));
    if (adamwF32(rows, numbers)) return tensors.map(({ m, v }, i) => ({ p: next[i], m, v }));
    for (const one of next) one.dispose();
  }
  return tensors.map(({ p, g, m, v }) => {
    const first = ema(m, g, { beta: beta1 });
    const second = emaSquare(v, g, { beta: beta2 });
    return { p: adamwUpdate(p, first, second, { lr, eps, decay, correction1, correction2 }), m: first, v: second };
  });
}

/** Zeros of the shape, dtype and device of each; for `adamwMany`, which has them side by side on webgpu. */
export function zerosLike(tensors: readonly Tensor[]): Tensor[] {
  if (tensors.length === 0 || !onGpu(tensors)) return tensors.map(({ shape, dtype, device }) => zeros(shape, { dtype, device }));
  const storages = zeroArena(onGpuOf(tensors[0]).gpu, tensors.map(({ size }) => size), "moments");
  return tensors.map(({ shape }, i) => new Tensor(shape, storages[i]));
}

/**
 * Tensors scaled so that their joint L2 norm is at most `maxNorm`: times `min(1, maxNorm / (norm + 1e-6))`. Not
 * recorded.
 *
 * @returns the scaled tensors, and the norm before as a scalar
 */
export function clippedMany(tensors: readonly Tensor[], maxNorm: number): { readonly clipped: Tensor[]; readonly norm: Tensor } {
  if (onGpu(tensors)) {
    const { clipped, norm } = clippedOnGpu(onGpuOf(tensors[0]).gpu, tensors.map(onGpuOf), maxNorm);
    return { clipped: tensors.map(({ shape }, i) => new Tensor(shape, clipped[i])), norm: new Tensor([], norm) };
  }
  const next = elementsOf(tensors) && outputs(tensors);
  if (next) {
    const rows = tensors.map((g, i) => ({ g: dataOf(g), out: dataOf(next[i]) }));
    const squares = squareSumF32(rows);
    const norm = Math.fround(Math.sqrt(squares ?? 0));
    if (squares !== null && scaleF32(rows, Math.min(1, maxNorm / (norm + 1e-6)))) {
      return { clipped: next, norm: full([], norm, { device: "cpu" }) };
    }
    for (const one of next) one.dispose();
  }
  const squares = tensors.map((g) => sum(mul(g, g)));
  const norm = sqrt(squares.reduce((a, b) => add(a, b)));
  const factor = minimum(div(maxNorm, add(norm, 1e-6)), 1);
  return { clipped: tensors.map((g) => mul(g, factor)), norm };
}

const isF32On = (tensors: readonly Tensor[], where: Device): boolean => tensors.every(({ dtype, device }) => dtype === "f32" && device === where);

/** Whether all are f32 on the CPU. */
const elementsOf = (tensors: readonly Tensor[]): boolean => isF32On(tensors, "cpu");

/** Whether all are f32 on the GPU that is open now. */
const onGpu = (tensors: readonly Tensor[]): boolean => isF32On(tensors, "webgpu") && tensors.every((one) => onGpuOf(one).gpu === currentGpu());

const haveOneShape = ({ p, g, m, v }: AdamwTensors): boolean => [g, m, v].every(({ shape }) => sameShape(shape, p.shape));

const outputs = (like: readonly Tensor[]): Tensor[] =>
  like.map(({ shape, size }) => new Tensor(shape, CpuStorage.uninitialized("f32", size)));

const dataOf = (tensor: Tensor): Float32Array => (tensor.storage as CpuStorage).data as Float32Array;

const onGpuOf = (tensor: Tensor): GpuStorage => tensor.storage as GpuStorage;
