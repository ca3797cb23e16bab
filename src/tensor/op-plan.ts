import { bindShapes, shapeOf } from "./bind-shapes.ts";
import { ShapeError } from "./errors.ts";
import type { Dims, OpSpec, Params } from "./op-spec.ts";
import { type Shape, sizeOf } from "./shape.ts";

/** The shapes of one call, worked out. */
export interface OpPlan {
  readonly output: Shape;
  /** Broadcast shape of the `*` axes. */
  readonly batch: Shape;
  readonly dims: Dims;
  readonly params: Params;
}

/** Check the shapes of a call against the op's law and work out its sizes. @throws ShapeError */
export function planOp(spec: OpSpec, shapes: Readonly<Record<string, Shape>>, attrs: Readonly<Record<string, unknown>>): OpPlan {
  const fail = (why: string): never => {
    throw new ShapeError(spec.name, spec.signature.text, why, shapes);
  };
  const binding = bindShapes(spec.name, spec.signature, shapes);
  const output = spec.shape ? spec.shape(shapes, attrs, fail) : shapeOf(spec.signature.output, binding);
  const dims: Dims = { ...binding.dims, n: sizeOf(binding.batch) };
  const broken = spec.check?.(dims, attrs);
  if (broken) fail(broken);
  return { output, batch: binding.batch, dims, params: spec.params?.(shapes, attrs, output) ?? {} };
}
