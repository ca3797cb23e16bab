import { nextStream, philox } from "../tensor/generator.ts";
import { type DType, isBlock, isHalf, type TypedArray } from "../tensor/dtype.ts";
import { ArgumentError } from "../tensor/errors.ts";
import { formatShape, isShape, type Shape, sizeOf } from "../tensor/shape.ts";
import type { Device } from "../tensor/storage.ts";
import { encode } from "../tensor/stored-format.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { describe } from "./describe.ts";
import { defaultDevice, fill, fromArray } from "./device.ts";

/** Numbers, nested to the depth of the tensor's rank. */
export type NestedNumbers = number | boolean | readonly NestedNumbers[];

/** Where and as what a new tensor is made. */
export interface TensorOptions {
  /** Default: `f32`, or what a typed array holds. */
  readonly dtype?: DType;
  /** Default: the device of `init()`. */
  readonly device?: Device;
  /** Record ops on it for `backward()`. Default false. */
  readonly requiresGrad?: boolean;
}

/**
 * A tensor of given values.
 *
 * @param data a number, nested arrays, or a typed array (copied)
 * @param options `shape` lays a flat or typed array out; nested arrays bring their own
 * @throws ArgumentError when rows differ in length or the shape does not fit
 */
export function tensor(data: NestedNumbers | TypedArray, options: TensorOptions & { readonly shape?: Shape } = {}): Tensor {
  const typed = ArrayBuffer.isView(data) ? data : null;
  const dtype = options.dtype ?? (typed ? dtypeOf(typed) : typeof flatFirst(data) === "boolean" ? "bool" : "f32");
  const values = typed ?? (data as NestedNumbers);
  const own = ArrayBuffer.isView(values) ? [values.length] : nestedShape(values);
  const shape = options.shape ? legalShape("tensor", options.shape) : own;
  const flat = ArrayBuffer.isView(values) ? values : flatten(values, own);
  if (sizeOf(shape) !== flat.length) {
    throw new ArgumentError("tensor", "shape", `one of ${flat.length} elements`, `${formatShape(shape)} (${sizeOf(shape)})`);
  }
  return made(convert("tensor", flat, dtype), shape, dtype, options);
}

/** A tensor of zeros. */
export const zeros = (shape: Shape, options: TensorOptions = {}): Tensor => filled("zeros", shape, 0, options);

/** A tensor of ones. */
export const ones = (shape: Shape, options: TensorOptions = {}): Tensor => filled("ones", shape, 1, options);

/** A tensor of one value. */
export const full = (shape: Shape, value: number, options: TensorOptions = {}): Tensor => filled("full", shape, value, options);

function filled(op: string, shape: Shape, value: number, options: TensorOptions): Tensor {
  const dtype = options.dtype ?? "f32";
  const [element] = convert(op, [value], dtype);
  return made(fill(isHalf(dtype) ? "f32" : dtype, sizeOf(legalShape(op, shape)), element), shape, dtype, options);
}

/** `start, start + step, …` below `end`, or above it where `step` is negative; i32 when all three are integers, else f32. */
export function arange(start: number, end: number, step = 1, options: TensorOptions = {}): Tensor {
  const length = Math.max(0, Math.ceil((end - start) / step));
  if (!Number.isFinite(length)) {
    throw new ArgumentError("arange", "start, end and step", "finite numbers, and step not 0", `${start}, ${end} and ${step}`);
  }
  const dtype = options.dtype ?? ([start, end, step].every(Number.isInteger) ? "i32" : "f32");
  return made(convert("arange", Float64Array.from({ length }, (_, i) => start + i * step), dtype), [length], dtype, options);
}

/** Uniform random numbers in [low, high), from the seeded counter-based generator (Philox 4x32-10): the same on every device. */
export function rand(shape: Shape, options: TensorOptions & { readonly low?: number; readonly high?: number } = {}): Tensor {
  const { low = 0, high = 1, dtype = "f32" } = options;
  const values = uniform(sizeOf(legalShape("rand", shape))).map((u) => low + (high - low) * u);
  return made(convert("rand", values, dtype), shape, dtype, options);
}

/** Normal random numbers of mean 0 and standard deviation `std` (Box-Muller over Philox): the same on every device. */
export function randn(shape: Shape, options: TensorOptions & { readonly std?: number } = {}): Tensor {
  const { std = 1, dtype = "f32" } = options;
  const length = sizeOf(legalShape("randn", shape));
  const u = uniform(length + (length % 2));
  for (let i = 0; i < u.length; i += 2) {
    const radius = std * Math.sqrt(-2 * Math.log(1 - u[i]));
    const angle = 2 * Math.PI * u[i + 1];
    u[i] = radius * Math.cos(angle);
    u[i + 1] = radius * Math.sin(angle);
  }
  return made(convert("randn", u.subarray(0, length), dtype), shape, dtype, options);
}

/** `length` uniform numbers of 24 random bits, from the next stream of the generator. */
function uniform(length: number): Float64Array {
  const { seed, stream } = nextStream();
  const out = new Float64Array(length);
  const counter = Uint32Array.of(0, 0, stream, 1);
  const key = Uint32Array.of(seed, 0);
  const words = new Uint32Array(4);
  for (let i = 0; i < length; i += 4) {
    counter[0] = i / 4;
    philox(counter, key, words);
    for (let j = 0; j < 4 && i + j < length; j++) out[i + j] = (words[j] >>> 8) / 2 ** 24;
  }
  return out;
}

/** A tensor of what `convert` gave. */
function made(data: TypedArray, shape: Shape, dtype: DType, options: TensorOptions): Tensor {
  const elements = isHalf(dtype) ? encode(dtype, data as Float32Array) : data;
  const result = fromArray(elements, shape, dtype, options.device ?? defaultDevice());
  if (options.requiresGrad) result.requiresGrad = true;
  return result;
}

function dtypeOf(data: ArrayBufferView): DType {
  if (data instanceof Float32Array) return "f32";
  if (data instanceof Float64Array) return "f64";
  if (data instanceof Int32Array) return "i32";
  throw new ArgumentError("tensor", "data", "numbers, a Float32Array, Float64Array or Int32Array", data.constructor.name);
}

const flatFirst = (data: unknown): unknown => (Array.isArray(data) && data.length > 0 ? flatFirst(data[0]) : data);

const nestedShape = (data: NestedNumbers): number[] => (Array.isArray(data) ? [data.length, ...(data.length > 0 ? nestedShape(data[0]) : [])] : []);

function flatten(data: NestedNumbers, shape: Shape): Float64Array {
  const out = new Float64Array(sizeOf(shape));
  let at = 0;
  const walk = (part: NestedNumbers, depth: number): void => {
    if (depth === shape.length) {
      if (typeof part !== "number" && typeof part !== "boolean") throw ragged(`a nested ${Array.isArray(part) ? "array" : typeof part} where a number belongs`);
      out[at++] = Number(part);
      return;
    }
    if (!Array.isArray(part) || part.length !== shape[depth]) {
      throw ragged(Array.isArray(part) ? `rows of ${shape[depth]} and of ${part.length}` : "a number beside arrays");
    }
    for (const item of part) walk(item, depth + 1);
  };
  walk(data, 0);
  return out;
}

const ragged = (got: string): ArgumentError => new ArgumentError("tensor", "data", "nested arrays of equal lengths", got);

function legalShape(op: string, shape: Shape): Shape {
  if (isShape(shape)) return shape;
  throw new ArgumentError(op, "shape", "a list of integers from 0 on", Array.isArray(shape) ? `[${shape.join(", ")}]` : describe(shape));
}

/** A copy in the array type of `dtype`, f32 for 16 bits; bool turns what is not 0 into 1, i32 cuts off fractions. */
function convert(op: string, data: ArrayLike<number>, dtype: DType): TypedArray {
  if (dtype === "f32" || isHalf(dtype)) return Float32Array.from(data);
  if (dtype === "f64") return Float64Array.from(data);
  if (dtype === "bool") return Int32Array.from(data, (v) => (v === 0 ? 0 : 1));
  if (isBlock(dtype)) throw new ArgumentError(op, "dtype", "a format that needs no choice of scales", dtype, `use quantize(x, { format: "${dtype}" })`);
  if (dtype !== "i32") throw new ArgumentError(op, "dtype", '"f32", "f64", "f16", "bf16", "i32" or "bool"', `"${String(dtype)}"`);
  return Int32Array.from(data, (v) => {
    const whole = Math.trunc(v);
    if (whole === (whole | 0)) return whole;
    throw new ArgumentError(op, "every i32 element", "from -2147483648 to 2147483647", String(v));
  });
}
