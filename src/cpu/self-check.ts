import type { TypedArray } from "../tensor/dtype.ts";
import { planOp } from "../tensor/op-plan.ts";
import type { Draw, DrawnCall, OpSpec, Range } from "../tensor/op-spec.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import type { DimExpr, Operand, Term } from "../tensor/signature.ts";
import { emitWarning } from "./warning.ts";

/** What a kernel may be off, as a share of its largest result: a wrong kernel is off by far more, a right one by far less. */
const TOLERANCE = 1e-3;
/** How often a call is drawn for an op that draws its own: some have no elements. */
const TRIES = 8;

const faults = new WeakMap<OpSpec, string | null>();

/**
 * What an op's CPU kernel computes wrong here, held against its reference; null when nothing is. It is tried once, before its
 * first use, on a small ragged call; a wrong one is not used, and `warn` says so.
 */
export function kernelFault(spec: OpSpec, warn: (message: string) => void = emitWarning): string | null {
  const known = faults.get(spec);
  if (known !== undefined) return known;
  const fault = faultOf(spec);
  faults.set(spec, fault);
  if (fault) warn(`the CPU kernel of ${spec.name} gives wrong results here, its reference runs instead: ${fault}`);
  return fault;
}

/** What is wrong with an op's kernel on small calls; null when nothing is. */
function faultOf(spec: OpSpec): string | null {
  const random = sequence();
  for (let attempt = 0; attempt < (spec.draw ? TRIES : 1); attempt++) {
    const call = spec.draw ? spec.draw(drawFrom(random)) : ragged(spec);
    const fault = faultIn(spec, call, random);
    if (fault) return fault;
  }
  return null;
}

function faultIn(spec: OpSpec, { shapes, attrs: drawn }: DrawnCall, random: () => number): string | null {
  const defaults = Object.entries(spec.attrs).map(([name, attr]) => [name, "default" in attr ? attr.default : attr[0]]);
  const attrs = { ...Object.fromEntries(defaults), ...drawn };
  const plan = planOp(spec, spec.signature.inputs.map(({ name }) => shapes[name]), attrs);
  const inputs: Record<string, TypedArray> = {};
  for (const operand of spec.signature.inputs) {
    const shape = operand.dims?.some(isBatch) ? [...plan.batch, ...innerOf(operand, shapes[operand.name])] : shapes[operand.name];
    const domain = spec.domain?.[operand.name];
    const range = typeof domain === "function" ? domain(plan.dims, attrs) : domain;
    inputs[operand.name] = valuesOf(operand, sizeOf(shape), range, random);
  }
  const size = sizeOf(plan.output);
  const got = new Float32Array(size).fill(Number.NaN);
  if (!spec.fast?.simd?.(inputs as Record<string, Float32Array>, got, plan.dims, attrs, plan.params)) return null;
  const right = new Float32Array(size);
  spec.reference(inputs, right, plan.dims, attrs, plan.params);
  const largest = right.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const wrong = right.findIndex((value, i) => !(Math.abs(got[i] - value) <= TOLERANCE * largest + Number.EPSILON));
  return wrong < 0 ? null : `element ${wrong} is ${got[wrong]}, not ${right[wrong]}`;
}

/** Sizes of the dimensions in order: no multiples of a vector or a tile. */
const SIZES = [5, 37, 3, 7, 9];
const BATCH = [3];

/** A call by the signature alone. */
function ragged({ signature }: OpSpec): DrawnCall {
  const sizes = new Map(signature.dimNames.map((name, i) => [name, SIZES[i % SIZES.length]]));
  const termOf = (term: Term): number => (typeof term === "number" ? term : (sizes.get(term) ?? 1));
  const sizeOfDim = (dim: Exclude<DimExpr, { kind: "batch" }>): number => {
    if (dim.kind === "plain") return termOf(dim.term);
    return dim.kind === "sum" ? termOf(dim.left) + termOf(dim.right) : termOf(dim.left) * termOf(dim.right);
  };
  const shapeOf = ({ dims }: Operand): Shape =>
    (dims ?? []).flatMap((dim) => (dim.kind === "batch" ? BATCH : [sizeOfDim(dim)]));
  return { shapes: Object.fromEntries(signature.inputs.map((operand) => [operand.name, shapeOf(operand)])) };
}

const isBatch = (dim: DimExpr): boolean => dim.kind === "batch";

/** The axes of an operand that are not `*`. */
const innerOf = ({ dims }: Operand, shape: Shape): Shape => shape.slice(shape.length - ((dims?.length ?? 1) - 1));

function valuesOf({ dtype }: Operand, size: number, range: Range | undefined, random: () => number): TypedArray {
  if (dtype === "i32" || dtype === "bool") {
    const [low, high] = range ?? (dtype === "bool" ? [0, 1] : [0, 3]);
    return Int32Array.from({ length: size }, () => low + Math.floor(random() * (high - low + 1)));
  }
  const [low, high] = range ?? [-2, 2];
  return Float32Array.from({ length: size }, () => low + random() * (high - low));
}

/** Numbers in [0, 1) that differ everywhere, the same at every start (the golden-ratio sequence). */
function sequence(): () => number {
  let count = 0;
  return () => (++count * 0.6180339887498949) % 1;
}

function drawFrom(random: () => number): Draw {
  const int = (low: number, high: number): number => low + Math.floor(random() * (high - low + 1));
  return {
    int,
    float: (low, high) => low + random() * (high - low),
    pick: (choices) => choices[int(0, choices.length - 1)],
    shape: (maxRank = 3, minRank = 0) => Array.from({ length: int(Math.max(1, minRank), Math.max(1, maxRank)) }, () => int(1, 5)),
  };
}
