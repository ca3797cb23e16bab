import fc, { type Arbitrary } from "fast-check";
import type { DType, TypedArray } from "../tensor/dtype.ts";
import { PolargradError, ShapeError } from "../tensor/errors.ts";
import { type OpPlan, planOp } from "../tensor/op-plan.ts";
import type { OpSpec, Range } from "../tensor/op-spec.ts";
import { formatShape, sameShape, type Shape, sizeOf } from "../tensor/shape.ts";
import type { DTypeRule } from "../tensor/signature.ts";
import { type CallKind, drawOf, EDGE_SIZES, type KindDraw } from "./arbitraries.ts";
import { drawSignature } from "./draw-signature.ts";
import { uniform } from "./random.ts";

/** Anything that `defineOp` returned. */
export interface DeclaredOp {
  readonly spec: OpSpec;
}

/** One input of a drawn call. */
export interface CallInput {
  readonly name: string;
  readonly shape: Shape;
  /** `i32` and `bool` hold integers; `float` runs as f32 or f64. */
  readonly kind: "float" | "i32" | "bool";
  readonly values: Float64Array;
  /** Position of the input that is passed again here; its own position otherwise. */
  readonly sameAs: number;
}

/** A random call that an op's declaration allows. */
export interface OpCall {
  readonly spec: OpSpec;
  readonly kind: CallKind;
  readonly inputs: readonly CallInput[];
  readonly attrs: Readonly<Record<string, unknown>>;
  /** Output shape by the signature alone; null where the op computes it. */
  readonly expected: Shape | null;
  /** Seed of the op's own randomness and of cotangents. */
  readonly seed: number;
}

/** Which calls `callsOf` draws. */
export interface CallOptions {
  /** Default: any kind. */
  readonly kind?: CallKind;
  /** The size around which an `edge` call is built; default: any of `EDGE_SIZES`. */
  readonly edge?: number;
}

const KINDS: readonly CallKind[] = ["plain", "ones", "broadcast", "empty", "repeated"];
const ATTEMPTS = 40;

/**
 * Random calls that an op's declaration allows: shapes by its signature (broadcast, missing batch axes, sizes 1 and 0)
 * or its `draw`, values in its `domain`, attributes in their ranges.
 *
 * @throws PolargradError while drawing, when no legal call is found
 */
export function callsOf(op: DeclaredOp, options: CallOptions = {}): Arbitrary<OpCall> {
  return fc.noBias(fc.gen()).map((gen): OpCall => {
    const kind = options.kind ?? gen(fc.constantFrom<CallKind[]>, ...KINDS);
    const edge = options.edge ?? gen(fc.constantFrom<number[]>, ...EDGE_SIZES);
    for (let attempt = 0; attempt < 2 * ATTEMPTS; attempt++) {
      // Some ops refuse empty tensors: a plain call then stands in.
      const call = drawCall(op.spec, drawOf(gen, attempt < ATTEMPTS ? kind : "plain", edge));
      if (call) return printable(call);
    }
    const advice = "give its declaration a draw, or a wider domain";
    throw new PolargradError(`${op.spec.name}: no legal call in ${2 * ATTEMPTS} tries; ${advice}`);
  });
}

/** One call, or null where a law beyond the signature, or an empty domain, refuses what was drawn. */
function drawCall(spec: OpSpec, draw: KindDraw): OpCall | null {
  const drawn = spec.draw ? { ...spec.draw(draw), expected: null } : drawSignature(spec, draw);
  const attrs = { ...drawAttrs(spec, draw), ...drawn.attrs };
  const plan = tryPlan(spec, drawn.shapes, attrs);
  if (!plan) return null;
  const seed = draw.int(1, 2 ** 30);
  const inputs: CallInput[] = [];
  for (const [position, { name, dtype }] of spec.signature.inputs.entries()) {
    const shape = drawn.shapes[name];
    const kind = kindOf(dtype);
    const [low, high] = domainOf(spec, name, kind, plan, attrs);
    if (low > high && sizeOf(shape) > 0) return null;
    const twin =
      draw.kind === "repeated"
        ? inputs.findIndex((input) => input.kind === kind && sameShape(input.shape, shape))
        : -1;
    const values =
      twin >= 0 ? inputs[twin].values : drawValues(seed + 7919 * position, sizeOf(shape), kind, [low, high]);
    if (twin >= 0 && values.some((value) => value < low || value > high)) return null;
    inputs.push({ name, shape, kind, values, sameAs: twin >= 0 ? twin : position });
  }
  return { spec, kind: draw.kind, inputs, attrs, expected: drawn.expected, seed };
}

function tryPlan(
  spec: OpSpec,
  shapes: Readonly<Record<string, Shape>>,
  attrs: Readonly<Record<string, unknown>>,
): OpPlan | null {
  try {
    return planOp(spec, spec.signature.inputs.map(({ name }) => shapes[name]), attrs);
  } catch (error) {
    if (error instanceof ShapeError && (spec.check ?? spec.shape ?? spec.draw)) return null;
    throw error;
  }
}

function drawAttrs(spec: OpSpec, draw: KindDraw): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, declared] of Object.entries(spec.attrs)) {
    values[name] = "default" in declared ? declared.default : Math.fround(draw.float(...declared[1]));
  }
  return values;
}

const kindOf = (rule: DTypeRule): CallInput["kind"] => (rule === "i32" || rule === "bool" ? rule : "float");

const DEFAULT_DOMAIN: Readonly<Record<CallInput["kind"], Range>> = {
  float: [-2, 2],
  i32: [0, 3],
  bool: [0, 1],
};

function domainOf(
  spec: OpSpec,
  name: string,
  kind: CallInput["kind"],
  plan: OpPlan,
  attrs: OpCall["attrs"],
): Range {
  const domain = spec.domain?.[name];
  if (typeof domain === "function") return domain(plan.dims, attrs);
  return domain ?? DEFAULT_DOMAIN[kind];
}

function drawValues(seed: number, length: number, kind: CallInput["kind"], [low, high]: Range): Float64Array {
  const next = uniform(seed);
  const one =
    kind === "float"
      ? () => Math.min(high, Math.max(low, Math.fround(low + (high - low) * next())))
      : () => Math.floor(low + (high - low + 1) * next());
  return Float64Array.from({ length }, one);
}

/** A copy of values in the array type of `dtype`. */
export function arrayOf(values: Float64Array, dtype: DType): TypedArray {
  if (dtype === "f64") return values.slice();
  return dtype === "f32" ? Float32Array.from(values) : Int32Array.from(values);
}

/** `add(a 2×3, b scalar, {}) seed 12`: what fast-check prints of a failing call. */
export function describeCall(call: OpCall): string {
  const inputs = call.inputs.map(({ name, shape, values, sameAs }, position) => {
    if (sameAs !== position) return `${name} = ${call.inputs[sameAs].name}`;
    return `${name} ${formatShape(shape)}${values.length <= 6 ? ` [${values.join(", ")}]` : ""}`;
  });
  const args = [...inputs, JSON.stringify(call.attrs)].join(", ");
  return `${call.spec.name}(${args}) (${call.kind}, seed ${call.seed})`;
}

function printable(call: OpCall): OpCall {
  return { ...call, [fc.toStringMethod]: () => describeCall(call) } as OpCall;
}
