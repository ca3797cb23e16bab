import { openScope } from "../../tensor/scope.ts";
import { tidy } from "../../autograd/index.ts";
import { fromArray } from "../../ops/device.ts";
import { add } from "../../ops/add.ts";
import { gradients } from "../../ops/gradient.ts";
import { mul } from "../../ops/mul.ts";
import { sum } from "../../ops/sum.ts";
import { GraphError } from "../../tensor/errors.ts";
import { formatShape, sameShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { OpCall } from "../calls.ts";
import { largestTerm } from "../compare.ts";
import { LawError } from "../errors.ts";
import {
  callable,
  cotangentOf,
  EXACT,
  inWay,
  isDifferentiable,
  tensorsOf,
  variablesOf,
} from "../evaluate.ts";
import { slopeAlong, type TensorFunction } from "../finite-difference.ts";
import { randomValues } from "../random.ts";
import { forCalls, type Law, type LawContext } from "./law.ts";

/** Allowed error of a gradient relative to the largest term of the difference quotient. */
const TOLERANCE = 1e-6;
/** The second step is for calls that sit closer than the first to a kink (relu at 0). */
const STEPS = [1e-5, 1e-7];
const COUNTS = { plain: 6, ones: 3, broadcast: 8, empty: 3, repeated: 4 } as const;

/** First and second derivatives by finite differences, and laziness; or, without a gradient, that backward says so. */
export function gradientLaws(context: LawContext): Law[] {
  const { spec } = context;
  if (!isDifferentiable(spec)) return hasFloatPath(context) ? [refusesLaw(context)] : [];
  const laws = [firstOrderLaw(context)];
  if (spec.vjp) laws.push(lazyLaw(context));
  if (spec.order !== 1) laws.push(secondOrderLaw(context));
  return laws;
}

const hasFloatPath = ({ spec }: LawContext): boolean =>
  spec.signature.output.dtype === "float" &&
  spec.signature.inputs.some((operand) => operand.dtype === "float");

function firstOrderLaw(context: LawContext): Law {
  return {
    name: `${context.spec.name}: its gradient equals finite differences of the f64 reference`,
    run: () =>
      forCalls(context, COUNTS, (call) =>
        inWay(EXACT, call.seed, () => tidy(() => checkFirst(context, call))),
      ),
  };
}

/** An op as a function of the call's different float inputs; its randomness starts anew each time. */
function functionOf({ op }: LawContext, call: OpCall, inputs: readonly Tensor[]): TensorFunction {
  const variables = variablesOf(call);
  return (values) => {
    const all = call.inputs.map(({ sameAs }) =>
      variables.includes(sameAs) ? values[variables.indexOf(sameAs)] : inputs[sameAs],
    );
    return inWay(EXACT, call.seed, () => [callable(op)(...all, call.attrs)]);
  };
}

function checkFirst(context: LawContext, call: OpCall): void {
  const inputs = tensorsOf(call, EXACT);
  const f = functionOf(context, call, inputs);
  const wrt = variablesOf(call).map((position) => inputs[position]);
  const [y] = f(wrt);
  const dy = cotangentOf(call, y.shape, EXACT);
  if (!y.requiresGrad)
    throw new LawError(call.spec.name, "its output requires no gradient although an input does");
  const constants = claimedConstants(call, inputs, dy, y);
  const found = gradients(y, wrt, { gradient: dy });
  const u = [Float64Array.from(dy.dataSync())];
  variablesOf(call).forEach((position, k) => {
    const { name } = call.inputs[position];
    const claim = constants.has(name)
      ? `is declared constant in ${name} (null)`
      : `has a wrong gradient by ${name}`;
    mustMatch(call, f, wrt, u, k, found[k], claim);
  });
}

/** The inputs for which the vjp claims a zero derivative. */
function claimedConstants(call: OpCall, inputs: readonly Tensor[], dy: Tensor, y: Tensor): Set<string> {
  const { spec } = call;
  if (!spec.vjp) return new Set();
  const cotangents = spec.vjp(
    Object.fromEntries(spec.signature.inputs.map(({ name }, i) => [name, inputs[i]])),
    dy,
    call.attrs,
    y,
  );
  return new Set(call.inputs.flatMap(({ name }) => (cotangents[name] === null ? [name] : [])));
}

/** Hold one gradient to difference quotients along two random directions. @throws LawError beginning with `claim` */
function mustMatch(
  call: OpCall,
  f: TensorFunction,
  wrt: readonly Tensor[],
  u: readonly Float64Array[],
  k: number,
  found: Tensor,
  claim: string,
): void {
  const { name } = call.spec;
  const x = wrt[k];
  if (!sameShape(found.shape, x.shape))
    throw new LawError(
      name,
      `${claim}: its shape is ${formatShape(found.shape)}, the input ${formatShape(x.shape)}`,
    );
  if (x.size === 0) return;
  const g = Float64Array.from(found.dataSync());
  for (let direction = 0; direction < 2; direction++) {
    const v = randomValues(call.seed + 15_485_863 * (k + 1) + direction, x.size);
    const terms = g.map((slope, i) => slope * v[i]);
    const analytic = terms.reduce((a, b) => a + b, 0);
    const slopes = STEPS.map((step) => slopeAlong(f, wrt, u, k, v, step));
    // The mean of nothing is NaN: it has no slope to compare with.
    if (call.kind === "empty" && slopes.every(({ value }) => Number.isNaN(value))) return;
    const fits = slopes.some(
      ({ value, scale }) => Math.abs(analytic - value) <= TOLERANCE * Math.max(scale, largestTerm(terms)),
    );
    if (!fits)
      throw new LawError(
        name,
        `${claim}: ${analytic} along a random direction, by finite differences ${slopes[0].value}`,
      );
  }
}

function lazyLaw(context: LawContext): Law {
  const { spec } = context;
  return {
    name: `${spec.name}: its gradient computes nothing before it is asked for`,
    run: () =>
      forCalls(context, { plain: 2, broadcast: 2 }, (call) =>
        inWay(EXACT, call.seed, () =>
          tidy(() => {
            const inputs = tensorsOf(call, EXACT);
            const y = callable(context.op)(...inputs, call.attrs);
            const dy = cotangentOf(call, y.shape, EXACT);
            const scope = openScope();
            let made: number;
            try {
              claimedConstants(call, inputs, dy, y);
            } finally {
              const tensors = scope.close();
              made = tensors.size;
              for (const tensor of tensors) tensor.dispose();
            }
            if (made > 0)
              throw new LawError(
                spec.name,
                `its vjp made ${made} tensors before any was asked for; put the work inside the thunks`,
              );
            eachAlone(context, call);
          }),
        ),
      ),
  };
}

/** Each float input has a gradient of its own when all others are constants. */
function eachAlone({ op, spec }: LawContext, call: OpCall): void {
  for (const position of variablesOf(call)) {
    const inputs = tensorsOf(call, EXACT);
    for (const [i, input] of inputs.entries())
      if (i !== position && input !== inputs[position]) input.requiresGrad = false;
    const y = callable(op)(...inputs, call.attrs);
    const dy = cotangentOf(call, y.shape, EXACT);
    const [only] = gradients(y, [inputs[position]], { gradient: dy });
    if (!sameShape(only.shape, inputs[position].shape))
      throw new LawError(
        spec.name,
        `the gradient by ${call.inputs[position].name} alone has shape ${formatShape(only.shape)}`,
      );
  }
}

function secondOrderLaw(context: LawContext): Law {
  return {
    name: `${context.spec.name}: its second derivatives equal finite differences of its gradient`,
    run: () =>
      forCalls(context, { plain: 4, ones: 2, broadcast: 4, repeated: 2 }, (call) =>
        inWay(EXACT, call.seed, () => tidy(() => checkSecond(context, call))),
      ),
  };
}

/** The gradient of ⟨gradient, u⟩ by the inputs and by dy. */
function checkSecond(context: LawContext, call: OpCall): void {
  const inputs = tensorsOf(call, EXACT);
  const f = functionOf(context, call, inputs);
  const wrt = variablesOf(call).map((position) => inputs[position]);
  const first: TensorFunction = (values) => {
    const [y] = f(values.slice(0, wrt.length));
    return gradients(y, values.slice(0, wrt.length), { gradient: values[wrt.length], createGraph: true });
  };
  const dy = cotangentOf(call, f(wrt)[0].shape, EXACT);
  dy.requiresGrad = true;
  const point = [...wrt, dy];
  const u = wrt.map((x, k) => randomValues(call.seed + 32_452_843 * (k + 1), x.size));
  const total = first(point)
    .map((g, k) => sum(mul(g, fromArray(u[k].slice(), g.shape, "f64", "cpu"))))
    .reduce((a, b) => add(a, b));
  if (!total.requiresGrad) {
    mustBeFlat(call, first, point, u);
    return;
  }
  const second = gradients(total, point);
  point.forEach((_, k) => {
    const by = k < wrt.length ? call.inputs[variablesOf(call)[k]].name : "dy";
    mustMatch(call, first, point, u, k, second[k], `has a wrong second derivative by ${by}`);
  });
}

/** A gradient without a graph must not depend on anything. */
function mustBeFlat(
  call: OpCall,
  first: TensorFunction,
  point: readonly Tensor[],
  u: readonly Float64Array[],
): void {
  point.forEach((x, k) => {
    const zero = fromArray(new Float64Array(x.size), x.shape, "f64", "cpu");
    mustMatch(
      call,
      first,
      point,
      u,
      k,
      zero,
      "its gradient is not differentiable, yet depends on its inputs; use order: 1 or differentiable ops",
    );
  });
}

function refusesLaw(context: LawContext): Law {
  const { op, spec } = context;
  return {
    name: `${spec.name}: backward says that it has no gradient`,
    run: () =>
      forCalls(context, { plain: 1 }, (call) =>
        tidy(() => {
          const inputs = tensorsOf(call, EXACT);
          const y = callable(op)(...inputs, call.attrs);
          const dy = cotangentOf(call, y.shape, EXACT);
          try {
            y.backward({ gradient: dy });
          } catch (error) {
            if (error instanceof GraphError && error.message.includes(spec.name)) return;
            throw error;
          }
          throw new LawError(spec.name, "backward passed in silence through an op without vjp and decompose");
        }),
      ),
  };
}
