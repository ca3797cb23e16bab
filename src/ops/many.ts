import { type AdamwNumbers, adamwF32, scaleF32, squareSumF32 } from "../cpu/many.ts";
import { CpuStorage } from "../tensor/cpu-storage.ts";
import { Tensor } from "../tensor/tensor.ts";
import { adamwUpdate } from "./adamw-update.ts";
import { add } from "./add.ts";
import { full } from "./create.ts";
import { div } from "./div.ts";
import { ema } from "./ema.ts";
import { emaSquare } from "./ema-square.ts";
import { minimum } from "./minimum.ts";
import { mul } from "./mul.ts";
import { sqrt } from "./sqrt.ts";
import { sum } from "./sum.ts";

/** A parameter, its gradient and its moments, all of one shape. */
export interface AdamwTensors {
  readonly p: Tensor;
  readonly g: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
}

/** Values after an AdamW step; on the CPU the moments are those that were given, changed in place. */
export type AdamwResult = Pick<AdamwTensors, "p" | "m" | "v">;

/**
 * One AdamW step of many parameters, not recorded; on the CPU as one kernel. Only the caller may hold the
 * moments: their elements may be overwritten.
 */
export function adamwMany(tensors: readonly AdamwTensors[], numbers: AdamwNumbers): AdamwResult[] {
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

/**
 * Tensors scaled so that their joint L2 norm is at most `maxNorm`: times `min(1, maxNorm / (norm + 1e-6))`. Not
 * recorded.
 *
 * @returns the scaled tensors, and the norm before as a scalar
 */
export function clippedMany(tensors: readonly Tensor[], maxNorm: number): { readonly clipped: Tensor[]; readonly norm: Tensor } {
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

/** Whether all are f32 on the CPU. */
const elementsOf = (tensors: readonly Tensor[]): boolean =>
  tensors.every(({ dtype, device }) => dtype === "f32" && device === "cpu");

const outputs = (like: readonly Tensor[]): Tensor[] =>
  like.map(({ shape, size }) => new Tensor(shape, CpuStorage.uninitialized("f32", size)));

const dataOf = (tensor: Tensor): Float32Array => (tensor.storage as CpuStorage).data as Float32Array;
