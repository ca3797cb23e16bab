import { tidy } from "../../autograd/index.ts";
import { fromArray } from "../../ops/device.ts";
import { ArgumentError } from "../../tensor/errors.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { OpCall } from "../calls.ts";
import { mustBeIdentical } from "../compare.ts";
import { LawError } from "../errors.ts";
import { callable, EXACT, tensorsOf } from "../evaluate.ts";
import { forCalls, type Law, type LawContext } from "./law.ts";

/** Wrong arguments are refused by an ArgumentError that names the op and the argument. */
export function argumentLaws(context: LawContext): Law[] {
  const { spec } = context;
  const laws: Law[] = [
    {
      name: `${spec.name}: wrong arguments are refused by name`,
      run: () =>
        forCalls(context, { plain: 1 }, (call) =>
          tidy(() => {
            for (const { args, argument, what } of wrongCalls(call, tensorsOf(call, EXACT)))
              mustName(context, args, argument, what);
          }),
        ),
    },
  ];
  if (spec.pointwise !== undefined && spec.signature.inputs.length > 1) laws.push(numbersLaw(context));
  return laws;
}

/** Elementwise ops take a number in place of a tensor. */
function numbersLaw(context: LawContext): Law {
  const { op, spec } = context;
  return {
    name: `${spec.name}: takes numbers as scalars`,
    run: () =>
      forCalls(context, { plain: 3 }, (call) =>
        tidy(() => {
          const inputs = tensorsOf(call, EXACT);
          for (const [k, { kind, values, sameAs, name }] of call.inputs.entries()) {
            if (kind !== "float" || values.length === 0 || sameAs !== k) continue;
            const scalar = fromArray(values.slice(0, 1), [], "f64", "cpu");
            const byTensor = callable(op)(...inputs.with(k, scalar), call.attrs).dataSync();
            mustBeIdentical(
              spec.name,
              `a number as ${name}`,
              callable(op)(...inputs.map((t, i) => (i === k ? values[0] : t)), call.attrs).dataSync(),
              byTensor,
            );
          }
        }),
      ),
  };
}

interface WrongCall {
  readonly args: readonly unknown[];
  /** What the error must name. */
  readonly argument: string;
  readonly what: string;
}

function* wrongCalls(call: OpCall, inputs: readonly Tensor[]): Generator<WrongCall> {
  const { spec, attrs } = call;
  const replace = (k: number, by: unknown): unknown[] => [
    ...inputs.slice(0, k),
    by,
    ...inputs.slice(k + 1),
    attrs,
  ];
  for (const [k, { name, dtype, stored }] of spec.signature.inputs.entries()) {
    yield { args: replace(k, "a string"), argument: name, what: "a string" };
    yield { args: replace(k, null), argument: name, what: "null" };
    const { shape, size } = inputs[k];
    if (!stored) yield { args: replace(k, fromArray(new Uint16Array(size), shape, "f16", "cpu")), argument: name, what: "an f16 tensor" };
    if (dtype === "i32" || dtype === "bool") {
      yield {
        args: replace(k, fromArray(new Float64Array(size), shape, "f64", "cpu")),
        argument: name,
        what: "an f64 tensor",
      };
    } else if (dtype === "float") {
      yield {
        args: replace(k, fromArray(new Int32Array(size), shape, "i32", "cpu")),
        argument: name,
        what: "an i32 tensor",
      };
      const isAlone = spec.signature.inputs.filter((operand) => operand.dtype === "float").length === 1;
      if (!isAlone)
        yield {
          args: replace(k, fromArray(new Float32Array(size), shape, "f32", "cpu")),
          argument: "like the inputs before it",
          what: "f32 beside f64",
        };
    }
  }
  yield { args: inputs.slice(1), argument: "the call", what: "a tensor too few" };
  yield { args: [...inputs, attrs, attrs], argument: "the call", what: "an argument too many" };
  yield {
    args: [...inputs, { noSuchAttribute: 1 }],
    argument: "noSuchAttribute",
    what: "an unknown attribute",
  };
  const numeric = Object.entries(spec.attrs).find(([, declared]) => !("default" in declared))?.[0];
  if (numeric !== undefined)
    yield {
      args: [...inputs, { ...attrs, [numeric]: Number.NaN }],
      argument: numeric,
      what: "NaN as an attribute",
    };
}

function mustName({ op, spec }: LawContext, args: readonly unknown[], argument: string, what: string): void {
  try {
    callable(op)(...args);
  } catch (error) {
    if (error instanceof ArgumentError && error.op === spec.name && error.message.includes(argument)) return;
    throw new LawError(
      spec.name,
      `${what} must give an ArgumentError that names ${argument}, got ${String(error)}`,
    );
  }
  throw new LawError(spec.name, `${what} in place of ${argument} is accepted`);
}
