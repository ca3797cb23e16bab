import { PolargradError } from "../tensor/errors.ts";
import type { DrawnCall, OpSpec } from "../tensor/op-spec.ts";
import type { Shape } from "../tensor/shape.ts";
import type { DimExpr, Operand, Signature, Term } from "../tensor/signature.ts";
import type { KindDraw } from "./arbitraries.ts";

/** A drawn call with the output shape that its signature promises, worked out without the library's own shape code. */
export interface SignatureCall extends DrawnCall {
  readonly expected: Shape | null;
}

/** Random shapes that satisfy a signature. @throws PolargradError for `[...]` operands, which need a `draw` */
export function drawSignature(spec: OpSpec, draw: KindDraw): SignatureCall {
  const { signature } = spec;
  if (signature.inputs.some((operand) => operand.dims === null)) {
    throw new PolargradError(
      `${spec.name}: its signature has [...], so its declaration needs a draw for the laws`,
    );
  }
  const sizes = drawSizes(signature, draw);
  const withBatch = signature.inputs.filter(hasBatch);
  const batches = withBatch.map(() => sizes.batch);
  if (draw.kind === "broadcast" && withBatch.length > 1) bend(batches, draw);
  const shapes: Record<string, Shape> = {};
  for (const operand of signature.inputs) {
    const at = withBatch.indexOf(operand);
    shapes[operand.name] = shapeFrom(operand, sizes.dims, at >= 0 ? batches[at] : []);
  }
  const { output } = signature;
  const expected = spec.shape || output.dims === null ? null : shapeFrom(output, sizes.dims, sizes.batch);
  return { shapes, expected };
}

const hasBatch = (operand: Operand): boolean => operand.dims?.some((dim) => dim.kind === "batch") ?? false;

interface Sizes {
  readonly dims: Readonly<Record<string, number>>;
  readonly batch: Shape;
}

function drawSizes(signature: Signature, draw: KindDraw): Sizes {
  const names = signature.dimNames;
  const batched = signature.inputs.some(hasBatch);
  const equal = draw.kind === "repeated" ? draw.size() : null;
  const sizes = names.map(() => equal ?? draw.size());
  const special = draw.kind === "edge" ? draw.edge : draw.kind === "empty" ? 0 : null;
  const rank = !batched
    ? 0
    : draw.int(draw.kind === "broadcast" || names.length === 0 ? 1 : 0, draw.kind === "edge" ? 1 : 3);
  let batch: number[] = Array.from({ length: rank }, () => Math.min(3, draw.size()));
  if (names.length === 0 && draw.kind === "plain" && draw.int(0, 3) === 0) batch = [];
  const places = names.length + Math.min(1, batch.length);
  if (special !== null && places > 0) {
    const at = draw.int(0, places - 1);
    if (at < names.length) sizes[at] = special;
    else batch[draw.int(0, batch.length - 1)] = special;
  }
  return { dims: Object.fromEntries(names.map((name, i) => [name, sizes[i]])), batch };
}

/** Drop leading batch axes of some operands and shrink others to 1, while one operand keeps each axis. */
function bend(batches: Shape[], draw: KindDraw): void {
  const full = batches[0];
  const keeper = full.map(() => draw.int(0, batches.length - 1));
  batches.forEach((_, k) => {
    const mine = full.map((d, axis) => (keeper[axis] !== k && draw.int(0, 1) === 0 ? 1 : d));
    const droppable = mine.findIndex((d, axis) => d !== 1 || keeper[axis] === k);
    batches[k] = mine.slice(draw.int(0, droppable < 0 ? mine.length : droppable));
  });
}

function shapeFrom(operand: Operand, dims: Readonly<Record<string, number>>, batch: Shape): Shape {
  return (operand.dims ?? []).flatMap((dim) => (dim.kind === "batch" ? batch : [sizeFrom(dim, dims)]));
}

function sizeFrom(dim: Exclude<DimExpr, { kind: "batch" }>, dims: Readonly<Record<string, number>>): number {
  const value = (term: Term): number => (typeof term === "number" ? term : dims[term]);
  if (dim.kind === "plain") return value(dim.term);
  return dim.kind === "sum" ? value(dim.left) + value(dim.right) : value(dim.left) * value(dim.right);
}
