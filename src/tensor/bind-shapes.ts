import { ShapeError } from "./errors.ts";
import { broadcastShapes, type Shape } from "./shape.ts";
import type { DimExpr, Operand, Signature, Term } from "./signature.ts";

/** What a signature says about concrete shapes. */
export interface Binding {
  /** Size of every named dimension. */
  readonly dims: Readonly<Record<string, number>>;
  /** Broadcast shape of the `*` axes. */
  readonly batch: Shape;
}

interface Axis {
  readonly expr: Exclude<DimExpr, { kind: "batch" }>;
  readonly size: number;
  readonly operand: string;
}

/** Match shapes against a signature: the size of each dimension and the broadcast batch shape. @throws ShapeError */
export function bindShapes(op: string, signature: Signature, shapes: Readonly<Record<string, Shape>>): Binding {
  const fail = (why: string): never => {
    throw new ShapeError(op, signature.text, why, shapes);
  };
  const axes: Axis[] = [];
  let batch: Shape = [];
  for (const operand of signature.inputs) {
    if (!operand.dims) continue;
    const lead = splitAxes(operand, operand.dims, shapes[operand.name], axes, fail);
    batch = broadcastShapes(batch, lead) ?? fail(`batch axes ${batch.join("×")} and ${lead.join("×")} do not broadcast`);
  }
  return { dims: solve(axes, fail), batch };
}

/** Collect the named axes of one operand and return its leading batch axes. */
function splitAxes(operand: Operand, dims: readonly DimExpr[], shape: Shape, axes: Axis[], fail: (why: string) => never): Shape {
  const fixed = dims.filter((dim) => dim.kind !== "batch");
  const lead = shape.length - fixed.length;
  if (lead < 0 || (lead > 0 && fixed.length === dims.length)) fail(`${operand.name} has ${shape.length} axes`);
  axes.push(...fixed.map((expr, i) => ({ expr, size: shape[lead + i], operand: operand.name })));
  return shape.slice(0, lead);
}

function solve(axes: readonly Axis[], fail: (why: string) => never): Record<string, number> {
  const dims: Record<string, number> = {};
  const seenIn: Record<string, string> = {};
  let open = [...axes];
  while (open.length > 0) {
    const waiting = open.filter((axis) => !settle(axis, dims, seenIn, fail));
    if (waiting.length === open.length) fail("the sizes do not determine every dimension");
    open = waiting;
  }
  return dims;
}

/** Use one axis: check it when its dimensions are known, learn one that is not; false when it must wait for others. */
function settle(axis: Axis, dims: Record<string, number>, seenIn: Record<string, string>, fail: (why: string) => never): boolean {
  const { expr, size, operand } = axis;
  const learn = (name: string, value: number): boolean => {
    dims[name] = value;
    seenIn[name] = operand;
    return true;
  };
  if (expr.kind === "plain") {
    const known = sizeOfTerm(expr.term, dims);
    if (known === undefined) return learn(String(expr.term), size);
    if (known === size) return true;
    return fail(typeof expr.term === "number"
      ? `an axis of ${operand} is ${size}, not ${expr.term}`
      : `${expr.term} is ${known} in ${seenIn[expr.term]} but ${size} in ${operand}`);
  }
  const left = sizeOfTerm(expr.left, dims);
  const right = sizeOfTerm(expr.right, dims);
  if (left !== undefined && right !== undefined) {
    const value = combine(expr.kind, left, right);
    return value === size || fail(`${expr.text} is ${value}, but an axis of ${operand} is ${size}`);
  }
  const known = left ?? right;
  if (known === undefined) return false;
  const name = String(left === undefined ? expr.left : expr.right);
  const value = expr.kind === "sum" ? size - known : known === 0 ? 0 : size / known;
  if (value < 0 || !Number.isInteger(value)) {
    fail(`${expr.text} is ${size} in ${operand}, which is ${expr.kind === "sum" ? "less than" : "not a multiple of"} ${known}`);
  }
  return learn(name, value);
}

const sizeOfTerm = (term: Term, dims: Readonly<Record<string, number>>): number | undefined =>
  typeof term === "number" ? term : dims[term];

const combine = (kind: "sum" | "product", left: number, right: number): number => (kind === "sum" ? left + right : left * right);

/** The sizes of an operand's axes under a binding. */
export function shapeOf(operand: Operand, binding: Binding): Shape {
  return (operand.dims ?? []).flatMap((dim): readonly number[] => {
    if (dim.kind === "batch") return binding.batch;
    if (dim.kind === "plain") return [sizeOfTerm(dim.term, binding.dims) ?? 0];
    return [combine(dim.kind, sizeOfTerm(dim.left, binding.dims) ?? 0, sizeOfTerm(dim.right, binding.dims) ?? 0)];
  });
}
