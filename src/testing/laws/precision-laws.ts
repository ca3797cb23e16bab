import { fromArray } from "../../ops/device.ts";
import { isFloat } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { tidy } from "../../autograd/index.ts";
import { gradients } from "../../ops/gradient.ts";
import type { DeclaredOp, OpCall } from "../calls.ts";
import { largestTerm, mustAgree } from "../compare.ts";
import {
  callable,
  cotangentOf,
  evaluate,
  EXACT,
  inWay,
  isDifferentiable,
  tensorsOf,
  variablesOf,
  type Way,
} from "../evaluate.ts";
import { forCalls, type Law, type LawContext } from "./law.ts";

const DEFAULT_ULPS = 64;
/** A gradient runs through several ops. */
const BACKWARD_FACTOR = 4;

/** f32 on the CPU against the f64 reference, and `decompose` against the op. */
export function precisionLaws(context: LawContext): Law[] {
  const { op, spec } = context;
  const isFloatOp = spec.signature.inputs.some(
    (operand) => operand.dtype === "float" || operand.dtype === "any",
  );
  const laws: Law[] = [];
  if (isFloatOp) {
    laws.push({
      name: `${spec.name}: f32 on the CPU agrees with the f64 reference, forward and backward`,
      run: () =>
        forCalls(
          context,
          { plain: 3, ones: 1, broadcast: 3, empty: 2, repeated: 1, edge: 3 },
          async (call) => {
            await mustAgreeWithReference(op, call, { device: "cpu", dtype: "f32" });
            if (spec.fast?.simd)
              await mustAgreeWithReference(op, call, { device: "cpu", dtype: "f32", path: "reference" });
          },
        ),
    });
  }
  if (spec.decompose) laws.push(decomposeLaw(context));
  laws.push(...specialLaws(context, { device: "cpu", dtype: "f32" }));
  return laws;
}

/**
 * Hold a call in one way to the f64 reference, forward and (where the op has a gradient) backward, within
 * `ulps · 2^-23 · largest term`; integer and bool outputs exactly.
 *
 * @throws LawError
 */
export async function mustAgreeWithReference(op: DeclaredOp, call: OpCall, way: Way): Promise<void> {
  const { spec } = call;
  const backward = isDifferentiable(spec);
  const expected = await evaluate(op, call, EXACT, backward);
  const actual = await evaluate(op, call, way, backward);
  const values = call.inputs.map((input) => input.values);
  const unit = (spec.ulps ?? DEFAULT_ULPS) * 2 ** -23;
  const where = `${way.dtype} on ${way.device}${way.path === "reference" ? " (readable)" : ""}`;
  const exact = spec.signature.output.dtype === "i32" || spec.signature.output.dtype === "bool";
  const scale = largestTerm(...values, expected.output);
  mustAgree(spec.name, `${where}, forward`, actual.output, expected.output, exact ? 0 : unit * scale);
  expected.gradients.forEach((gradient, k) => {
    const { name } = call.inputs[variablesOf(call)[k]];
    const bound =
      BACKWARD_FACTOR *
      unit *
      largestTerm(...values, expected.output, expected.cotangent, ...expected.gradients);
    mustAgree(spec.name, `${where}, gradient by ${name}`, actual.gradients[k], gradient, bound);
  });
}

/** What is owed beyond ordinary numbers: NaN where the reference has NaN, and i32 through ops that copy any dtype. */
export function specialLaws(context: LawContext, way: Way): Law[] {
  const { op, spec } = context;
  const place = way.device === "cpu" ? "the CPU" : "the GPU";
  const rules = new Set(spec.signature.inputs.map((operand) => operand.dtype));
  const laws: Law[] = [];
  if (rules.has("float")) {
    laws.push({
      name: `${spec.name}: a NaN comes out on ${place} where it comes out of the reference`,
      run: () =>
        forCalls(context, { plain: 3, broadcast: 2, edge: 1 }, async (call) => {
          for (const position of variablesOf(call))
            await mustAgreeWithReference(op, withNaN(call, position), way);
        }),
    });
  }
  if (rules.has("any") && !rules.has("float")) {
    laws.push({
      name: `${spec.name}: copies i32 as it is on ${place}`,
      run: () =>
        forCalls(context, { plain: 2, broadcast: 1, empty: 1 }, async (call) => {
          const whole = withValues(call, (values) => values.map((value) => Math.round(value * 1e8)));
          const expected = await evaluate(op, whole, EXACT);
          const actual = await evaluate(op, whole, { ...way, dtype: "i32" });
          mustAgree(spec.name, `i32 on ${place}`, actual.output, expected.output, 0);
        }),
    });
  }
  return laws;
}

/** The call with other values in its float inputs. */
const withValues = (
  call: OpCall,
  change: (values: Float64Array, position: number) => Float64Array,
): OpCall => ({
  ...call,
  inputs: call.inputs.map((input) =>
    input.kind === "float" ? { ...input, values: change(input.values, input.sameAs) } : input,
  ),
});

/** The call with a NaN in one element of one input. */
function withNaN(call: OpCall, position: number): OpCall {
  const at = call.seed % Math.max(1, call.inputs[position].values.length);
  return withValues(call, (values, own) =>
    own === position && values.length > 0 ? values.with(at, Number.NaN) : values,
  );
}

/** Rounding of f64 sums taken in another order. */
const F64_TOLERANCE = 1e-10;

function decomposeLaw(context: LawContext): Law {
  const { op, spec } = context;
  return {
    name: `${spec.name}: agrees with its decompose, and so does its gradient`,
    run: () =>
      forCalls(context, { plain: 3, ones: 1, broadcast: 3, empty: 1, repeated: 1 }, async (call) => {
        const own = await evaluate(op, call, EXACT, isDifferentiable(spec));
        const parts = decomposed(call);
        mustAgree(
          spec.name,
          "against its decompose",
          own.output,
          parts.output,
          F64_TOLERANCE * largestTerm(parts.output),
        );
        if (!spec.vjp) return;
        parts.gradients.forEach((gradient, k) => {
          const { name } = call.inputs[variablesOf(call)[k]];
          mustAgree(
            spec.name,
            `gradient by ${name} against its decompose`,
            own.gradients[k],
            gradient,
            F64_TOLERANCE * largestTerm(gradient),
          );
        });
      }),
  };
}

/** Output and gradients of a call by the op's smaller ops, in f64. */
function decomposed(call: OpCall): { output: Float64Array; gradients: Float64Array[] } {
  const { spec } = call;
  const copy = (t: Tensor): Float64Array => Float64Array.from(t.dataSync());
  return inWay(EXACT, call.seed, () =>
    tidy(() => {
      const inputs = tensorsOf(call, EXACT);
      const smaller = Object.assign(
        (...args: readonly unknown[]) => {
          const named = Object.fromEntries(
            spec.signature.inputs.map(({ name }, i) => [name, args[i] as Tensor]),
          );
          return spec.decompose?.(named, call.attrs) ?? fromArray(new Float64Array(0), [0], "f64", "cpu");
        },
        { spec },
      );
      const y = callable(smaller)(...inputs);
      if (!isFloat(y.dtype) || !y.requiresGrad) return { output: copy(y), gradients: [] };
      const wrt = variablesOf(call).map((position) => inputs[position]);
      const output = copy(y);
      return {
        output,
        gradients: gradients(y, wrt, { gradient: cotangentOf(call, y.shape, EXACT) }).map(copy),
      };
    }),
  );
}
