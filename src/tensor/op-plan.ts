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
  readonly batch: Shape;
  readonly dims: Dims;
  /** Null where the op computes it. */
  readonly output: Shape | null;
}

const KEPT = 16;
/** The latest bindings of each op: a training step makes the same calls again and again. */
const latest = new WeakMap<OpSpec, Bound[]>();

function bind(spec: OpSpec, shapes: Readonly<Record<string, Shape>>): Bound {
  const { inputs } = spec.signature;
  const known = latest.get(spec) ?? [];
  for (const bound of known) if (inputs.every(({ name }, i) => sameShape(bound.shapes[i], shapes[name]))) return bound;
  const { dims, batch } = bindShapes(spec.name, spec.signature, shapes);
  const output = spec.shape ? null : shapeOf(spec.signature.output, { dims, batch });
  const bound = { shapes: inputs.map(({ name }) => shapes[name]), batch, dims: { ...dims, n: sizeOf(batch) }, output };
  latest.set(spec, [bound, ...known.slice(0, KEPT - 1)]);
  return bound;
}

/** Check the shapes of a call against the op's law and work out its sizes. @throws ShapeError */
export function planOp(spec: OpSpec, shapes: Readonly<Record<string, Shape>>, attrs: Readonly<Record<string, unknown>>): OpPlan {
  const fail = (why: string): never => {
    throw new ShapeError(spec.name, spec.signature.text, why, shapes);
  };
  const { dims, batch, output: bySignature } = bind(spec, shapes);
  const output = bySignature ?? spec.shape?.(shapes, attrs, fail) ?? [];
  const broken = spec.check?.(dims, attrs);
  if (broken) fail(broken);
  return { output, batch, dims, params: spec.params?.(shapes, attrs, output) ?? {} };
}
