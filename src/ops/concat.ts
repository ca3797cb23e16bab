import { ArgumentError, ShapeError } from "../tensor/errors.ts";
import { formatShape, resolveAxis, type Shape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { concatPair } from "./concat-pair.ts";
import { reshape } from "./reshape.ts";
import { unsqueeze } from "./unsqueeze.ts";

/** Which axis a function works along. */
export interface AxisOption {
  /** Counts from the end where negative. Default 0. */
  readonly axis?: number;
}

/**
 * Join tensors along an existing axis; all other axes, the dtype and the device have to agree. Always a new
 * tensor.
 *
 * @throws ArgumentError for an empty list or something that is no list of tensors
 * @throws ShapeError naming the first tensor that does not fit
 */
export function concat(tensors: readonly Tensor[], { axis = 0 }: AxisOption = {}): Tensor {
  const first = checkList("concat", tensors);
  const at = resolveAxis(axis, first.rank);
  const why = at === null ? `axis ${axis} is out of range` : `all axes but axis ${axis} have to agree`;
  tensors.forEach(({ shape, rank }, k) => {
    const agrees = rank === first.rank && shape.every((d, other) => other === at || d === first.shape[other]);
    if (at === null || !agrees) throw misfit("concat", k, shape, first.shape, why);
  });
  return tensors.length === 1 ? reshape(first, { shape: first.shape }) : joined(tensors, axis);
}

/**
 * Join tensors of one shape along a new axis.
 *
 * @param options position of the new axis in the result
 * @throws ArgumentError, ShapeError as `concat`
 */
export function stack(tensors: readonly Tensor[], { axis = 0 }: AxisOption = {}): Tensor {
  const first = checkList("stack", tensors);
  tensors.forEach((tensor, k) => {
    const fits = formatShape(tensor.shape) === formatShape(first.shape);
    if (!fits) throw misfit("stack", k, tensor.shape, first.shape, "all shapes have to agree");
  });
  return concat(
    tensors.map((tensor) => unsqueeze(tensor, { axis })),
    { axis },
  );
}

function checkList(op: string, tensors: readonly Tensor[]): Tensor {
  if (!Array.isArray(tensors)) {
    const actual = tensors instanceof Tensor ? "a tensor" : `a ${typeof tensors}`;
    throw new ArgumentError(op, "the first argument", "a list of tensors", actual, `write ${op}([a, b])`);
  }
  const [first] = tensors as readonly Tensor[];
  if (first === undefined) throw new ArgumentError(op, "the list", "of at least one tensor", "an empty list");
  (tensors as readonly Tensor[]).forEach((tensor, k) => {
    if (!(tensor instanceof Tensor)) throw new ArgumentError(op, `tensor ${k}`, "a tensor", String(tensor));
    if (tensor.dtype === first.dtype) return;
    throw new ArgumentError(
      op,
      `tensor ${k}`,
      `${first.dtype} like tensor 0`,
      tensor.dtype,
      "cast one of them",
    );
  });
  return first;
}

function misfit(op: string, k: number, shape: Shape, first: Shape, why: string): ShapeError {
  return new ShapeError(
    op,
    "tensors of one shape but for the axis",
    `tensor ${k} is ${formatShape(shape)}, tensor 0 is ${formatShape(first)}: ${why}`,
  );
}

/** A balanced tree, so that n tensors are copied log₂ n times. */
function joined(tensors: readonly Tensor[], axis: number): Tensor {
  if (tensors.length === 1) return tensors[0];
  const half = Math.ceil(tensors.length / 2);
  return concatPair(joined(tensors.slice(0, half), axis), joined(tensors.slice(half), axis), { axis });
}
