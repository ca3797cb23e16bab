import { noGrad, tidy } from "../autograd/index.ts";
import { fromArray, setCpuPath } from "../ops/device.ts";
import { gradients } from "../ops/gradient.ts";
import { setGpuPath } from "../ops/init.ts";
import { isFloat, type TypedArray } from "../tensor/dtype.ts";
import { getGeneratorState, setGeneratorState } from "../tensor/generator.ts";
import { planOp } from "../tensor/op-plan.ts";
import type { OpSpec } from "../tensor/op-spec.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import type { Device } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { arrayOf, type DeclaredOp, type OpCall } from "./calls.ts";
import { randomValues } from "./random.ts";

/** Where and how a call runs. */
export interface Way {
  readonly device: Device;
  /** What float inputs run as; `i32` is for ops that copy any dtype. */
  readonly dtype: "f32" | "f64" | "i32";
  /** The tuned implementation where there is one, or the reference (CPU) and readable kernel (GPU). Default `fast`. */
  readonly path?: "fast" | "reference";
}

/** The reference itself: f64 on the CPU. */
export const EXACT: Way = { device: "cpu", dtype: "f64", path: "reference" };

/** An op as a function of whatever arguments. */
export const callable = (op: DeclaredOp): ((...args: readonly unknown[]) => Tensor) =>
  op as unknown as (...args: readonly unknown[]) => Tensor;

/** Run a synchronous `f` on the implementations of `way`, with the ops' randomness starting at `seed`. */
export function inWay<T>(way: Way, seed: number, f: () => T): T {
  const random = getGeneratorState();
  setGeneratorState({ seed, draws: 0 });
  setCpuPath(way.path ?? "fast");
  setGpuPath(way.path === "reference" ? "readable" : "fast");
  try {
    return f();
  } finally {
    setCpuPath("proven");
    setGpuPath("fast");
    setGeneratorState(random);
  }
}

/** The inputs of a call as tensors, a repeated input as the same tensor; every float one requires a gradient. */
export function tensorsOf(call: OpCall, way: Way): Tensor[] {
  const made: Tensor[] = [];
  call.inputs.forEach((input, position) => {
    if (input.sameAs !== position) {
      made.push(made[input.sameAs]);
      return;
    }
    const dtype = input.kind === "float" ? way.dtype : input.kind;
    const tensor = fromArray(arrayOf(input.values, dtype), input.shape, dtype, way.device);
    if (isFloat(dtype)) tensor.requiresGrad = true;
    made.push(tensor);
  });
  return made;
}

/** Position of each different float input of a call: what can be differentiated by. */
export const variablesOf = (call: OpCall): number[] =>
  call.inputs.flatMap((input, position) =>
    input.kind === "float" && input.sameAs === position ? [position] : [],
  );

/** A random cotangent for an output of `shape`; the same numbers for every way. */
export function cotangentOf(call: OpCall, shape: Shape, way: Way): Tensor {
  const values = randomValues(call.seed + 104_729, sizeOf(shape));
  return fromArray(arrayOf(values, way.dtype), shape, way.dtype, way.device);
}

/** True when a float output of the op can be differentiated by a float input. */
export function isDifferentiable(spec: OpSpec): boolean {
  if (!spec.vjp && !spec.decompose) return false;
  const { inputs, output } = spec.signature;
  const floats = (rule: string): boolean => rule === "float" || rule === "any";
  return floats(output.dtype) && inputs.some((operand) => floats(operand.dtype));
}

/** What came out of a call. */
export interface Evaluation {
  readonly shape: Shape;
  readonly output: TypedArray;
  /** Gradient by each of `variablesOf(call)` that requires one; empty when not asked for. */
  readonly gradients: readonly TypedArray[];
  readonly cotangent: TypedArray | null;
}

/**
 * Run `op` on the inputs of a call, and its backward with a random cotangent when asked. Leaves nothing behind.
 *
 * @param makeInputs makes the tensors; inputs of other dtypes than `way` says have no gradient
 */
export async function evaluate(
  op: DeclaredOp,
  call: OpCall,
  way: Way,
  backward = false,
  makeInputs: (call: OpCall, way: Way) => readonly Tensor[] = tensorsOf,
): Promise<Evaluation> {
  const results = inWay(way, call.seed, () =>
    tidy(() => {
      const inputs = makeInputs(call, way);
      if (!backward) return { y: noGrad(() => callable(op)(...inputs, call.attrs)), grads: [], dy: null };
      const y = callable(op)(...inputs, call.attrs);
      if (!isFloat(y.dtype) || !y.requiresGrad) return { y: y.detach(), grads: [], dy: null };
      const dy = cotangentOf(call, y.shape, way);
      const wrt = variablesOf(call).map((position) => inputs[position]);
      const grads = gradients(
        y,
        wrt.filter(({ requiresGrad }) => requiresGrad),
        { gradient: dy },
      );
      return { y: y.detach(), grads, dy };
    }),
  );
  const { y, grads, dy } = results;
  try {
    const [output, cotangent, ...data] = await Promise.all([
      y.data(),
      dy?.data() ?? null,
      ...grads.map((grad) => grad.data()),
    ]);
    return { shape: y.shape, output, gradients: data as TypedArray[], cotangent };
  } finally {
    for (const tensor of [y, ...grads, ...(dy ? [dy] : [])]) tensor.dispose();
  }
}

/** Output shape by the declaration. @throws ShapeError */
export const declaredShape = (call: OpCall): Shape =>
  call.expected ??
  planOp(call.spec, call.inputs.map(({ shape }) => shape), call.attrs)
    .output;
