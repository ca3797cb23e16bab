import { tidy } from "../autograd/index.ts";
import { add } from "../ops/add.ts";
import { fromArray } from "../ops/device.ts";
import { full } from "../ops/create.ts";
import { gradients } from "../ops/gradient.ts";
import { mul } from "../ops/mul.ts";
import { sum } from "../ops/sum.ts";
import { isFloat } from "../tensor/dtype.ts";
import { ArgumentError } from "../tensor/errors.ts";
import { getGeneratorState, setGeneratorState } from "../tensor/generator.ts";
import { formatShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { GradcheckError } from "./errors.ts";
import { randomValues, testSeed } from "./random.ts";

/** How `gradcheck` compares; the defaults are PyTorch's. */
export interface GradcheckOptions {
  /** Step of the central differences. Default 1e-6. */
  readonly eps?: number;
  /** Allowed absolute error. Default 1e-5. */
  readonly atol?: number;
  /** Allowed error relative to the numeric derivative. Default 1e-3. */
  readonly rtol?: number;
  /** 2 checks the derivatives of the gradient as well. Default 1. */
  readonly order?: 1 | 2;
  /** Seed of the random directions; default POLARGRAD_SEED. */
  readonly seed?: number;
}

/** A function to check: from its arguments to a tensor or several. Deterministic, up to polargrad's own generator. */
export type Differentiable = (...args: never[]) => Tensor | readonly Tensor[];

const DIRECTIONS = 3;
/** Inputs up to this size are checked element by element too. */
const SMALL = 64;

interface Check {
  readonly f: Differentiable;
  readonly args: readonly unknown[];
  readonly positions: readonly number[];
  readonly eps: number;
  readonly atol: number;
  readonly rtol: number;
  readonly seed: number;
}

/**
 * Compare the derivatives that backward gives for `f(...inputs)` with central differences, along random directions,
 * and element by element for inputs of at most 64 elements. Inputs that are not float tensors are passed through.
 *
 * @param inputs arguments of `f`; f32 tensors and those on webgpu are checked as f64 copies on the CPU, where `f` has to run
 * @returns true, for `expect(await gradcheck(…)).toBe(true)`
 * @throws GradcheckError naming the input, the element, the analytic and the numeric derivative
 * @throws ArgumentError when there is no float tensor among the inputs, or `f` gives none
 */
export async function gradcheck(
  f: Differentiable,
  inputs: readonly unknown[],
  options: GradcheckOptions = {},
): Promise<true> {
  const { eps = 1e-6, atol = 1e-5, rtol = 1e-3, order = 1 } = options;
  const seed = testSeed(options.seed);
  const positions = inputs.flatMap((input, i) =>
    input instanceof Tensor && isFloat(input.dtype) ? [i] : [],
  );
  if (positions.length === 0)
    throw new ArgumentError("gradcheck", "inputs", "at least one f64 tensor", "none");
  const args = await Promise.all(inputs.map(inDouble));
  const check: Check = { f, args, positions, eps, atol, rtol, seed };
  const random = getGeneratorState();
  try {
    compare(check);
  } finally {
    setGeneratorState(random);
  }
  if (order === 2) await gradgradcheck(f, args, { ...options, seed });
  return true;
}

/**
 * `gradcheck` of the gradient of `f`: second derivatives by the inputs and by the cotangents of the outputs.
 *
 * @throws GradcheckError; its `input` counts the inputs first, then one cotangent for each output
 */
export async function gradgradcheck(
  f: Differentiable,
  inputs: readonly unknown[],
  options: Omit<GradcheckOptions, "order"> = {},
): Promise<true> {
  const seed = testSeed(options.seed);
  const doubles = await Promise.all(inputs.map(inDouble));
  const cotangents = tidy(() =>
    outputsOf(call(f, doubles)).map((y, k) =>
      fromArray(randomValues(seed + 31 * k, y.size), y.shape, "f64", "cpu"),
    ),
  );
  const gradient = (...args: readonly unknown[]): Tensor[] => {
    const own = args.slice(0, inputs.length);
    const wrt = own.filter((arg): arg is Tensor => arg instanceof Tensor && isFloat(arg.dtype));
    return gradientsOrZeros(
      projected(outputsOf(call(f, own)), args.slice(inputs.length) as Tensor[]),
      wrt,
      true,
    );
  };
  try {
    return await gradcheck(gradient, [...doubles, ...cotangents], { ...options, seed, order: 1 });
  } finally {
    for (const cotangent of cotangents) cotangent.dispose();
  }
}

/** A float tensor as f64 on the CPU: finite differences need double precision. Anything else as it is. */
async function inDouble(input: unknown): Promise<unknown> {
  if (!(input instanceof Tensor) || !isFloat(input.dtype) || (input.dtype === "f64" && input.device === "cpu")) return input;
  return fromArray(Float64Array.from(await input.data()), input.shape, "f64", "cpu");
}

const call = (f: Differentiable, args: readonly unknown[]): Tensor | readonly Tensor[] =>
  f(...(args as never[]));

/** The gradients of a scalar; zeros where nothing was recorded. */
function gradientsOrZeros(total: Tensor, wrt: readonly Tensor[], createGraph: boolean): Tensor[] {
  if (total.requiresGrad) return gradients(total, wrt, { createGraph });
  return wrt.map((x) => full(x.shape, 0, { dtype: "f64", device: "cpu" }));
}

function outputsOf(result: Tensor | readonly Tensor[]): Tensor[] {
  const outputs = (result instanceof Tensor ? [result] : [...result]).filter((y) => isFloat(y.dtype));
  if (outputs.length === 0)
    throw new ArgumentError("gradcheck", "f", "a function to at least one float tensor", "one without");
  return outputs;
}

/** Σ over the outputs of ⟨y, u⟩, a differentiable scalar. */
const projected = (outputs: readonly Tensor[], cotangents: readonly Tensor[]): Tensor =>
  outputs.map((y, k) => sum(mul(y, cotangents[k]))).reduce((a, b) => add(a, b));

/** Every comparison of one check, against the same random projection of the outputs. */
function compare(check: Check): void {
  const { args, positions, seed } = check;
  const analytic = gradientsAt(check);
  positions.forEach((position, k) => {
    const input = args[position] as Tensor;
    const gradient = analytic[k];
    const directions: (readonly [index: number | null, v: Float64Array])[] = [];
    for (let d = 0; d < DIRECTIONS; d++)
      directions.push([null, randomValues(seed + 1009 * position + d, input.size)]);
    if (input.size <= SMALL)
      for (let i = 0; i < input.size; i++)
        directions.push([i, new Float64Array(input.size).fill(1, i, i + 1)]);
    for (const [index, v] of directions) {
      const expected =
        (valueAt(check, position, v, check.eps) - valueAt(check, position, v, -check.eps)) / (2 * check.eps);
      const actual = v.reduce((total, step, i) => total + step * gradient[i], 0);
      if (Math.abs(actual - expected) <= check.atol + check.rtol * Math.abs(expected)) continue;
      const where =
        index === null ? "along a random direction" : `at element ${index} of ${formatShape(input.shape)}`;
      throw new GradcheckError(position, index, actual, expected, where);
    }
  });
}

/** The arguments as fresh leaves, one of them moved by `step` along `v`. */
function argumentsAt({ args, positions }: Check, moved: number, v: Float64Array, step: number): unknown[] {
  return args.map((arg, i) => {
    if (!positions.includes(i)) return arg;
    const input = arg as Tensor;
    const values = Float64Array.from(input.dataSync(), (value, j) =>
      i === moved ? value + step * v[j] : value,
    );
    const leaf = fromArray(values, input.shape, "f64", "cpu");
    leaf.requiresGrad = true;
    return leaf;
  });
}

const cotangentValues = (seed: number, k: number, length: number): Float64Array =>
  randomValues(seed + 65_537 + k, length, 0.5, 1.5);

/** ⟨f, u⟩ with one input moved by `step` along `v`. */
function valueAt(check: Check, moved: number, v: Float64Array, step: number): number {
  setGeneratorState({ seed: check.seed, draws: 0 });
  return tidy(() => {
    let total = 0;
    for (const [k, y] of outputsOf(call(check.f, argumentsAt(check, moved, v, step))).entries()) {
      const u = cotangentValues(check.seed, k, y.size);
      total += Float64Array.from(y.dataSync()).reduce((dot, value, i) => dot + value * u[i], 0);
    }
    return total;
  });
}

/** The gradient of ⟨f, u⟩ by every checked input, by backward. */
function gradientsAt(check: Check): Float64Array[] {
  setGeneratorState({ seed: check.seed, draws: 0 });
  return tidy(() => {
    const args = argumentsAt(check, -1, new Float64Array(0), 0);
    const outputs = outputsOf(call(check.f, args));
    const cotangents = outputs.map((y, k) =>
      fromArray(cotangentValues(check.seed, k, y.size), y.shape, "f64", "cpu"),
    );
    const total = projected(outputs, cotangents);
    const wrt = check.positions.map((position) => args[position] as Tensor);
    return gradientsOrZeros(total, wrt, false).map((gradient) => Float64Array.from(gradient.dataSync()));
  });
}
