import { alias, enableGrad, isGradEnabled, provideAdd, sweep } from "../autograd/index.ts";
import { ArgumentError, GraphError } from "../tensor/errors.ts";
import { keep, track } from "../tensor/scope.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { type BackwardOptions, registerBackward, Tensor } from "../tensor/tensor.ts";
import { add } from "./add.ts";
import { full } from "./create.ts";
import { describe } from "./describe.ts";

provideAdd(add);
registerBackward(backward);

/** The cotangent that a sweep from `root` starts with. */
function seedOf(root: Tensor, gradient: Tensor | undefined): Tensor {
  if (!root.requiresGrad) {
    throw new GraphError("backward: nothing was recorded; no input of this tensor requires a gradient, or it was computed under noGrad()");
  }
  if (!gradient) {
    if (root.size !== 1) throw new GraphError(`backward: the tensor has shape ${formatShape(root.shape)}; reduce it to a scalar or pass { gradient }`);
    return full(root.shape, 1, { dtype: root.dtype, device: root.device });
  }
  if (!sameShape(gradient.shape, root.shape)) {
    throw new GraphError(`backward: gradient has shape ${formatShape(gradient.shape)}, the tensor ${formatShape(root.shape)}`);
  }
  if (gradient.dtype !== root.dtype || gradient.device !== root.device) {
    throw new GraphError(`backward: gradient is ${gradient.dtype} on ${gradient.device}, the tensor ${root.dtype} on ${root.device}`);
  }
  return gradient;
}

/** `Tensor.backward`: accumulate into `.grad` of every leaf. */
function backward(root: Tensor, options: BackwardOptions): void {
  const createGraph = options.createGraph ?? false;
  const seed = seedOf(root, options.gradient);
  const cotangents = sweep(root, seed, { createGraph, retainGraph: options.retainGraph ?? createGraph });
  const handed = new Set<Tensor>([seed]);
  try {
    for (const [leaf, cotangent] of cotangents) {
      const before = leaf.grad;
      leaf.grad = keep(before ? add(before, cotangent) : ownHandle(cotangent, handed));
      // A recorded sum still needs what it added.
      if (leaf.grad.isLeaf) before?.dispose();
    }
  } finally {
    for (const cotangent of new Set(cotangents.values())) {
      if (!handed.has(cotangent) && !createGraph) cotangent.dispose();
    }
    if (!options.gradient && !createGraph) seed.dispose();
  }
}

/** `cotangent` itself the first time it is asked for, another handle on its elements after that. */
function ownHandle(cotangent: Tensor, handed: Set<Tensor>): Tensor {
  if (handed.has(cotangent)) return alias(cotangent);
  handed.add(cotangent);
  return cotangent;
}

/** Options of `gradients`. */
export interface GradientOptions {
  /** Cotangent of `output`; 1 for a scalar when absent. */
  readonly gradient?: Tensor;
  /** Make the result differentiable again. Default false. */
  readonly createGraph?: boolean;
  /** Keep the graph for another sweep. Default: `createGraph`. */
  readonly retainGraph?: boolean;
}

/**
 * The gradients of `output` with respect to `inputs`, as `torch.autograd.grad` returns them; `.grad` stays untouched.
 *
 * @returns one tensor of each input's shape; zeros where `output` does not depend on the input
 * @throws GraphError when an input does not require a gradient, and as `Tensor.backward`
 */
export function gradients(output: Tensor, inputs: readonly Tensor[], options: GradientOptions = {}): Tensor[] {
  const createGraph = options.createGraph ?? false;
  const frozen = inputs.findIndex((input) => !input.requiresGrad);
  if (frozen >= 0) throw new GraphError(`gradients: input ${frozen} of shape ${formatShape(inputs[frozen].shape)} does not require a gradient`);
  const seed = seedOf(output, options.gradient);
  const cotangents = sweep(output, seed, { wrt: inputs, createGraph, retainGraph: options.retainGraph ?? createGraph });
  const handed = new Set<Tensor>([seed]);
  const found = inputs.map((input) => {
    const cotangent = cotangents.get(input);
    if (!cotangent) return full(input.shape, 0, { dtype: input.dtype, device: input.device });
    const own = ownHandle(cotangent, handed);
    track(own);
    return own;
  });
  if (!options.gradient && !createGraph) seed.dispose();
  return found;
}

/** Options of `grad`. */
export interface GradOptions<N extends number | readonly number[]> {
  /** Which argument, or which arguments, to differentiate by. Default 0. */
  readonly argnums?: N;
}

/**
 * The gradient function of a scalar function, as `jax.grad`: `grad(f)(x)` is df/dx at x. `grad(grad(f))` works: where an argument
 * already requires a gradient, the result is differentiable.
 *
 * @param f from tensors (and anything else) to a tensor of one element
 * @throws ArgumentError when an argument that `argnums` names is no tensor
 */
export function grad<A extends readonly unknown[]>(f: (...args: A) => Tensor, options?: GradOptions<number>): (...args: A) => Tensor;
export function grad<A extends readonly unknown[]>(f: (...args: A) => Tensor, options: GradOptions<readonly number[]>): (...args: A) => Tensor[];
export function grad<A extends readonly unknown[]>(f: (...args: A) => Tensor, options: GradOptions<number | readonly number[]> = {}) {
  const { argnums = 0 } = options;
  const positions = typeof argnums === "number" ? [argnums] : argnums;
  return (...args: A): Tensor | Tensor[] => {
    for (const at of positions) {
      if (!(args[at] instanceof Tensor)) throw new ArgumentError("grad", `argument ${at}`, "a tensor, as argnums says", describe(args[at]));
    }
    const createGraph = isGradEnabled() && positions.some((at) => (args[at] as Tensor).requiresGrad);
    const own = args.map((arg, at) => (positions.includes(at) ? variable(arg as Tensor) : arg)) as unknown as A;
    const result = enableGrad(() => f(...own));
    const wrt = positions.map((at) => own[at] as Tensor);
    const found = result.requiresGrad ? gradients(result, wrt, { createGraph }) : wrt.map((x) => full(x.shape, 0, { dtype: x.dtype, device: x.device }));
    return typeof argnums === "number" ? found[0] : found;
  };
}

/** A handle on `x` to differentiate by: of its own, since the same tensor may be passed twice. */
function variable(x: Tensor): Tensor {
  const own = alias(x);
  own.requiresGrad = true;
  return own;
}
