import { launch } from "./launch.ts";
import { DROPOUT_A_UNIT, dropoutElements } from "./wasm/dropout-kernel.ts";
import {
  addElements, ELEMENTS_A_UNIT, expElements, multiplyElements, sigmoidElements, siluElements, subtractElements,
  swigluDgateElements, swigluElements,
} from "./wasm/elementwise-kernel.ts";

/** ns for a float of a simple op, and of one with an exponential. */
const SIMPLE_COST = 0.4;
const EXP_COST = 1.2;
/** The same with a random number. */
const RANDOM_COST = 1.5;

const options = (count: number, cost: number) => ({
  units: Math.ceil(count / ELEMENTS_A_UNIT),
  cost: count * cost,
});

/** `y = a + b`; all of one length. False: not computed, as of all functions here. */
export const addF32 = (a: Float32Array, b: Float32Array, y: Float32Array): boolean =>
  launch(addElements, { a, b, y, count: y.length }, options(y.length, SIMPLE_COST));

/** `y = a - b`. */
export const subtractF32 = (a: Float32Array, b: Float32Array, y: Float32Array): boolean =>
  launch(subtractElements, { a, b, y, count: y.length }, options(y.length, SIMPLE_COST));

/** `y = a · b`. */
export const multiplyF32 = (a: Float32Array, b: Float32Array, y: Float32Array): boolean =>
  launch(multiplyElements, { a, b, y, count: y.length }, options(y.length, SIMPLE_COST));

/** `y = e^x`. */
export const expF32 = (x: Float32Array, y: Float32Array): boolean =>
  launch(expElements, { x, y, count: y.length }, options(y.length, EXP_COST));

/** `y = sigmoid(x)`. */
export const sigmoidF32 = (x: Float32Array, y: Float32Array): boolean =>
  launch(sigmoidElements, { x, y, count: y.length }, options(y.length, EXP_COST));

/** `y = silu(x)`. */
export const siluF32 = (x: Float32Array, y: Float32Array): boolean =>
  launch(siluElements, { x, y, count: y.length }, options(y.length, EXP_COST));

/** `y = silu(gate) · up`. */
export const swigluF32 = (gate: Float32Array, up: Float32Array, y: Float32Array): boolean =>
  launch(swigluElements, { gate, up, y, count: y.length }, options(y.length, EXP_COST));

/** The cotangent of `swigluF32`'s gate. */
export const swigluDgateF32 = (gate: Float32Array, up: Float32Array, dy: Float32Array, y: Float32Array): boolean =>
  launch(swigluDgateElements, { gate, up, dy, y, count: y.length }, options(y.length, EXP_COST));

/** The numbers of `dropoutF32`: u32, but `scale`. */
export type DropoutNumbers = Readonly<Record<"seed" | "stream" | "purpose" | "threshold" | "scale", number>>;

/** `y = x · scale` where the element's random word is at least `threshold`, `x · 0` elsewhere: see `dropout`. */
export const dropoutF32 = (x: Float32Array, y: Float32Array, numbers: DropoutNumbers): boolean =>
  launch(
    dropoutElements,
    { x, y, count: y.length, ...numbers },
    { units: Math.ceil(y.length / DROPOUT_A_UNIT), cost: y.length * RANDOM_COST, scratch: 64 },
  );
