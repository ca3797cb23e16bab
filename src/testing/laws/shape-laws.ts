import { ArgumentError, ShapeError } from "../../tensor/errors.ts";
import { formatShape, type Shape, sameShape, sizeOf } from "../../tensor/shape.ts";
import type { Operand } from "../../tensor/signature.ts";
import { fromArray } from "../../ops/device.ts";
import type { CallInput, OpCall } from "../calls.ts";
import { LawError } from "../errors.ts";
import { callable, declaredShape, evaluate, EXACT } from "../evaluate.ts";
import { announceSkip, forCalls, type Law, type LawContext } from "./law.ts";

/** The output has the declared shape, and shapes that break the signature are refused with it. */
export function shapeLaws(context: LawContext): Law[] {
  const { op, spec } = context;
  const shape: Law = {
    name: `${spec.name}: the output has the declared shape`,
    run: () =>
      forCalls(context, { plain: 3, ones: 3, broadcast: 4, empty: 3, repeated: 2 }, async (call) => {
        const expected = declaredShape(call);
        const actual = await evaluate(op, call, EXACT);
        if (sameShape(actual.shape, expected)) return;
        throw new LawError(
          spec.name,
          `the output is ${formatShape(actual.shape)}, declared ${formatShape(expected)}`,
        );
      }),
  };
  if (!hasFixedAxes(context) && !batchesTwice(context)) return [shape];
  const refused: Law = {
    name: `${spec.name}: wrong shapes are refused with its law`,
    run: async () => {
      let tried = 0;
      await forCalls(context, { plain: 4, broadcast: 2 }, (call) => {
        for (const shapes of wrongShapes(call)) {
          mustRefuse(context, call, shapes);
          tried++;
        }
      });
      if (tried === 0)
        announceSkip(spec.name, "no wrong shape follows from its signature, so none was tried");
    },
  };
  return [shape, refused];
}

const batched = (operand: Operand): boolean => operand.dims?.some((dim) => dim.kind === "batch") ?? false;

const hasFixedAxes = ({ spec }: LawContext): boolean =>
  spec.signature.inputs.some((operand) => operand.dims?.some((dim) => dim.kind !== "batch"));

const batchesTwice = ({ spec }: LawContext): boolean => spec.signature.inputs.filter(batched).length > 1;

/** Shapes that break the signature in one place: an axis too few, a size that two axes share, batch axes that clash. */
function* wrongShapes(call: OpCall): Generator<Shape[]> {
  const own = call.inputs.map((input) => input.shape);
  const operands = call.spec.signature.inputs;
  for (const [k, { dims }] of operands.entries()) {
    const fixed = dims?.filter((dim) => dim.kind !== "batch") ?? [];
    const lead = own[k].length - fixed.length;
    if (fixed.length > 0) yield own.with(k, own[k].slice(lead + 1));
    for (const [i, dim] of fixed.entries()) {
      const isPinned =
        dim.kind === "plain" && (typeof dim.term === "number" || isPlainTwice(operands, dim.term));
      if (isPinned) yield own.with(k, own[k].with(lead + i, own[k][lead + i] + 1));
    }
  }
  const [first, second] = operands.flatMap((operand, k) => (batched(operand) ? [k] : []));
  if (second === undefined) return;
  const inner = (k: number): Shape => own[k].slice(own[k].length - ((operands[k].dims?.length ?? 1) - 1));
  yield own.with(first, [2, ...inner(first)]).with(second, [3, ...inner(second)]);
}

/** The dimension stands alone on an axis of two places at least, so that changing one of them is an error. */
const isPlainTwice = (operands: readonly Operand[], name: string): boolean =>
  operands.flatMap(({ dims }) => dims ?? []).filter((dim) => dim.kind === "plain" && dim.term === name)
    .length > 1;

function mustRefuse({ op, spec }: LawContext, call: OpCall, shapes: readonly Shape[]): void {
  const inputs = shapes.map((shape, k) => blank(call.inputs[k], shape));
  const got = shapes.map(formatShape).join(", ");
  try {
    callable(op)(...inputs, call.attrs);
  } catch (error) {
    if (error instanceof ShapeError && error.op === spec.name && error.message.includes(spec.signature.text))
      return;
    const isOurs = error instanceof ShapeError || error instanceof ArgumentError;
    throw new LawError(
      spec.name,
      `shapes ${got} are refused without its signature: ${isOurs ? error.message : String(error)}`,
    );
  }
  throw new LawError(spec.name, `shapes ${got} break ${spec.signature.text}, but are accepted`);
}

function blank(input: CallInput, shape: Shape) {
  return input.kind === "float"
    ? fromArray(new Float64Array(sizeOf(shape)), shape, "f64", "cpu")
    : fromArray(new Int32Array(sizeOf(shape)), shape, input.kind, "cpu");
}
