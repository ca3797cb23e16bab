import { type Code, type Frame, get, type Local, set } from "./assembler.ts";
import { Exponential } from "./exp.ts";
import { f32x4, i32 } from "./instructions.ts";
import { kernel } from "./kernel.ts";
import { eachFloats } from "./vectors.ts";

/** Floats of a unit: 64 KB of each array. */
export const ELEMENTS_A_UNIT = 16_384;
const UNIT_BYTES = ELEMENTS_A_UNIT * 4;

/** What an elementwise expression may use. */
interface Context {
  readonly frame: Frame;
  readonly exp: Exponential;
}

type Arguments<N extends string> = Readonly<Record<N, "in">> & { readonly y: "out"; readonly count: "i32" };

/**
 * `y = f(inputs)` element by element.
 *
 *     for each pair of vectors of the unit: load the inputs, compute, store
 */
function elementwise<const N extends string>(
  name: string, inputs: readonly N[], f: (x: Readonly<Record<N, Code>>, context: Context) => Code,
) {
  const arrays = Object.fromEntries(inputs.map((input) => [input, "in"])) as Record<N, "in">;
  const args: Arguments<N> = { ...arrays, ...({ y: "out", count: "i32" } as const) };
  return kernel(name, args, (frame, locals) => {
    const at = locals as unknown as Readonly<Record<N | "y" | "count" | "unit", Local>>;
    const end = frame.local("i32");
    const context = { frame, exp: new Exponential(frame) };
    const position = at.unit;
    const limit = i32.shiftLeft(get(at.count), i32.constant(2));
    return [
      ...context.exp.prepare(),
      set(position, i32.multiply(get(position), i32.constant(UNIT_BYTES))),
      set(end, i32.min(i32.add(get(position), i32.constant(UNIT_BYTES)), limit)),
      ...eachFloats(frame, position, end, {
        reads: Object.fromEntries(inputs.map((input) => [input, get(at[input])])) as Record<N, Code>,
        writes: [get(at.y)],
        body: (x) => ({ values: [f(x, context)] }),
      }),
    ];
  });
}

/** `1 / (1 + e^-x)`. */
const sigmoid = (x: Code, { exp }: Context): Code =>
  f32x4.divide(exp.one(), f32x4.add(exp.one(), exp.of(f32x4.negate(x))));

/** `a + b`. */
export const addElements = elementwise("addElements", ["a", "b"], ({ a, b }) => f32x4.add(a, b));
/** `a - b`. */
export const subtractElements = elementwise("subtractElements", ["a", "b"], ({ a, b }) => f32x4.subtract(a, b));
/** `a · b`. */
export const multiplyElements = elementwise("multiplyElements", ["a", "b"], ({ a, b }) => f32x4.multiply(a, b));
/** `e^x`. */
export const expElements = elementwise("expElements", ["x"], ({ x }, { exp }) => exp.of(x));
/** `1 / (1 + e^-x)`. */
export const sigmoidElements = elementwise("sigmoidElements", ["x"], ({ x }, context) => sigmoid(x, context));
/** `x / (1 + e^-x)`. */
export const siluElements = elementwise("siluElements", ["x"], ({ x }, { exp }) =>
  f32x4.divide(x, f32x4.add(exp.one(), exp.of(f32x4.negate(x)))),
);
/** `gate / (1 + e^-gate) · up`. */
export const swigluElements = elementwise("swigluElements", ["gate", "up"], ({ gate, up }, { exp }) =>
  f32x4.multiply(f32x4.divide(gate, f32x4.add(exp.one(), exp.of(f32x4.negate(gate)))), up),
);
/** `dy · up · s · (1 + gate · (1 - s))` with `s = sigmoid(gate)`. */
export const swigluDgateElements = elementwise(
  "swigluDgateElements",
  ["gate", "up", "dy"],
  ({ gate, up, dy }, context) => {
    const { frame, exp } = context;
    const s = frame.local("v128");
    const rest = f32x4.subtract(exp.one(), get(s));
    const slope = f32x4.multiply(get(s), frame.multiplyAdd(gate, rest, exp.one()));
    return [...set(s, sigmoid(gate, context)), ...f32x4.multiply(f32x4.multiply(dy, up), slope)];
  },
);
