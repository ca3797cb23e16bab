import { bindShapes, shapeOf } from "./bind-shapes.ts";
import { ShapeError } from "./errors.ts";
import type { Dims, OpSpec, Params } from "./op-spec.ts";
import { sameShape, type Shape, sizeOf } from "./shape.ts";

/** The shapes of one call, worked out. */
export interface OpPlan {
  readonly output: Shape;
  /** Broadcast shape of the `*` axes. */
  readonly batch: Shape;
  readonly dims: Dims;
  readonly params: Params;
}

/** What a signature alone says about the shapes of a call. */
interface Bound {
  /** In the signature's order. */
  readonly shapes: readonly Shape[];
  readonly named: Readonly<Record<string, Shape>>;
  /** Its output is empty where the op computes it. */
  readonly plan: OpPlan;
}

const NO_PARAMS: Params = {};
const KEPT = 16;
/** The latest bindings of each op: a training step makes the same calls again and again. */
const latest = new WeakMap<OpSpec, Bound[]>();

function bind(spec: OpSpec, shapes: readonly Shape[]): Bound {
  const known = latest.get(spec) ?? [];
  for (const bound of known) if (areSame(bound.shapes, shapes)) return bound;
  const named = Object.fromEntries(spec.signature.inputs.map(({ name }, i) => [name, shapes[i]]));
  const { dims, batch } = bindShapes(spec.name, spec.signature, named);
  const output = spec.shape ? [] : Object.freeze(shapeOf(spec.signature.output, { dims, batch }));
  const bound = { shapes, named, plan: { output, batch, dims: { ...dims, n: sizeOf(batch) }, params: NO_PARAMS } };
  latest.set(spec, [bound, ...known.slice(0, KEPT - 1)]);
  return bound;
}

function areSame(a: readonly Shape[], b: readonly Shape[]): boolean {
  for (let i = 0; i < a.length; i++) if (!sameShape(a[i], b[i])) return false;
  return true;
}

/** Check the shapes of a call, in the signature's order, against the op's law and work out its sizes. @throws ShapeError */
export function planOp(spec: OpSpec, shapes: readonly Shape[], attrs: Readonly<Record<string, unknown>>): OpPlan {
  const { plan, named } = bind(spec, shapes);
  if (!spec.shape && !spec.check && !spec.params) return plan;
  const fail = (why: string): never => {
    throw new ShapeError(spec.name, spec.signature.text, why, named);
  };
  const output = spec.shape?.(named, attrs, fail) ?? plan.output;
  const broken = spec.check?.(plan.dims, attrs);
  if (broken) fail(broken);
  return { ...plan, output, params: spec.params?.(named, attrs, output) ?? NO_PARAMS };
}
