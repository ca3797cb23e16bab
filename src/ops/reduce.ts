import { type SumSizes, type SumTerms, sumPlan } from "../gpu/sum-kernel.ts";
import type { Draw, DrawnCall, KernelPlan, KernelProfile, Params } from "../tensor/op-spec.ts";
import { resolveAxis, type Shape, sizeOf, stridesOf } from "../tensor/shape.ts";
import { stridedOffset } from "../tensor/strided.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { reshape } from "./reshape.ts";

/** Attributes of a reduction: which axes (all by default), and whether they stay as axes of size 1. */
export const reductionAttrs = {
  axes: { default: null as number | readonly number[] | null },
  keepDims: { default: false },
};

/** Values of `reductionAttrs`. */
export interface Reduction {
  readonly axes: number | readonly number[] | null;
  readonly keepDims: boolean;
}

/** The axes of a reduction as a sorted list without repeats. Calls `fail` for one out of range. */
export function reducedAxes(shape: Shape, { axes }: Pick<Reduction, "axes">, fail: (why: string) => never): number[] {
  if (axes === null) return shape.map((_, axis) => axis);
  const list = (Array.isArray(axes) ? axes : [axes]).map((axis) => resolveAxis(axis, shape.length) ?? fail(`axis ${axis} is out of range for ${shape.length} axes`));
  return [...new Set(list)].sort((a, b) => a - b);
}

/** Output shape of a reduction. */
export function reducedShape(shape: Shape, attrs: Reduction, fail: (why: string) => never): Shape {
  const axes = reducedAxes(shape, attrs, fail);
  return attrs.keepDims ? shape.map((d, axis) => (axes.includes(axis) ? 1 : d)) : shape.filter((_, axis) => !axes.includes(axis));
}

const never = (): never => {
  throw new RangeError("axis out of range");
};

/** What `reductionParams` gives. */
export interface ReductionParams extends Params {
  readonly keptRank: number;
  readonly reducedRank: number;
  readonly reduced: number;
  readonly keptSizes: readonly number[];
  readonly keptStrides: readonly number[];
  readonly reducedSizes: readonly number[];
  readonly reducedStrides: readonly number[];
}

/** Sizes and strides of the kept and of the reduced axes: output `i` sums over `j < reduced` at `offset(i) + offset(j)`. */
export function reductionParams(shape: Shape, attrs: Pick<Reduction, "axes">): ReductionParams {
  const axes = reducedAxes(shape, attrs, never);
  const strides = stridesOf(shape);
  const kept = shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  return {
    keptRank: kept.length,
    reducedRank: axes.length,
    reduced: sizeOf(axes.map((axis) => shape[axis])),
    keptSizes: kept.map((axis) => shape[axis]),
    keptStrides: kept.map((axis) => strides[axis]),
    reducedSizes: axes.map((axis) => shape[axis]),
    reducedStrides: axes.map((axis) => strides[axis]),
  };
}

/** Offsets of the elements that one output element reduces, relative to the first. */
export function reducedSteps({ reduced, reducedSizes, reducedStrides }: ReductionParams): Int32Array {
  return Int32Array.from({ length: reduced }, (_, j) => stridedOffset(j, reducedSizes, reducedStrides));
}

/** A reduction of a tensor of `shape` with the reduced axes as axes of size 1, so that it broadcasts against that tensor. */
export const keepReduced = (y: Tensor, shape: Shape, { axes }: Pick<Reduction, "axes">): Tensor =>
  reshape(y, { shape: reducedShape(shape, { axes, keepDims: true }, never) });

/** WGSL: `kept_offset(i)` and `reduced_offset(j)` of `reductionParams`. */
export const reductionHelpers = /* wgsl */ `
fn kept_offset(i: u32) -> u32 {
  var rest = i; var at = 0u;
  for (var a = dims.keptRank; a > 0u; a--) { let s = keptSizes(a - 1u); at += (rest % s) * keptStrides(a - 1u); rest /= s; }
  return at;
}
fn reduced_offset(j: u32) -> u32 {
  var rest = j; var at = 0u;
  for (var a = dims.reducedRank; a > 0u; a--) { let s = reducedSizes(a - 1u); at += (rest % s) * reducedStrides(a - 1u); rest /= s; }
  return at;
}`;

/** WGSL: `total`, the sum of `term` (of `value`) over what output `i` reduces; with `reductionHelpers`. */
export const totalOf = (term: string): string => /* wgsl */ `
    let base = kept_offset(i);
    var total = 0.0;
    // Sums of sums: a single f32 that runs over millions of terms loses the small ones.
    for (var start = 0u; start < dims.reduced; start += 256u) {
      var part = 0.0;
      for (var j = start; j < min(start + 256u, dims.reduced); j++) {
        let value = x[base + reduced_offset(j)];
        part += ${term};
      }
      total += part;
    }`;

/** Sums of fewer terms than this are left to the readable kernel. */
const FEW = 16;

/**
 * An array as [outer, reduced, inner] whose middle axis is reduced, with the outputs in the order of [outer, inner]; null where the
 * reduced axes are not one run in memory.
 */
function reducedRun({ reduced, reducedSizes, reducedStrides, keptSizes, keptStrides }: ReductionParams): SumSizes | null {
  const axes = reducedSizes.map((size, k) => ({ size, stride: reducedStrides[k] })).filter(({ size }) => size !== 1);
  const isRun = axes.every(({ stride }, k) => k === axes.length - 1 || stride === axes[k + 1].stride * axes[k + 1].size);
  if (!isRun) return null;
  const inner = axes[axes.length - 1]?.stride ?? 1;
  const outer = sizeOf(keptSizes.filter((_, k) => keptStrides[k] >= inner * reduced));
  return { outer, reduced, inner };
}

/** What `run` gives for the axes as one run in memory; false for other axes. */
export function overRun(params: ReductionParams, run: (sizes: SumSizes) => boolean): boolean {
  const sizes = reducedRun(params);
  return sizes !== null && run(sizes);
}

/**
 * A plan for a sum over axes that are one run in memory; null for other axes, and where there is little to sum.
 */
export function sumOverAxes(profile: KernelProfile, terms: SumTerms, params: ReductionParams): KernelPlan | null {
  const run = params.reduced < FEW ? null : reducedRun(params);
  return run && sumPlan(profile, terms, run);
}

/** Random shapes and axes for the laws. `minSize` 1 for reductions without a value for nothing (max). */
export function drawReduction(draw: Draw, minSize = 0): DrawnCall {
  const x = draw.shape(4).map((d) => Math.max(d, minSize));
  const some = x.map((_, axis) => axis).filter(() => draw.int(0, 1) === 1);
  const axes = draw.pick([null, some, some.map((axis) => axis - x.length), ...(x.length > 0 ? [x.length - 1] : [])]);
  return { shapes: { x }, attrs: { axes, keepDims: draw.pick([true, false]) } };
}
