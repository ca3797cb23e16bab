/**
 * A small WebAssembly assembler: instructions are byte arrays that nest like expressions, and
 * {@link assembleModule} puts functions over one imported memory into a binary module.
 * Section numbers: https://webassembly.github.io/spec/core/binary.
 */
import { type Code, sized, text, unsigned, vector } from "./encoding.ts";
import { f32x4, i32 } from "./instructions.ts";

export type { Code } from "./encoding.ts";

/** The value types that the kernels use. */
export type ValueType = "i32" | "f32" | "v128";

/** A parameter or a local variable of a function, by its index. */
export interface Local {
  readonly index: number;
}

/** What distinguishes one build of the kernels from another. */
export interface KernelShape {
  /** Columns of the matrix product's tile: 8, or 16 where pairs of vectors are folded into one. */
  readonly tileColumns: 8 | 16;
  /** Use the relaxed multiply-add instead of a multiplication and an addition. */
  readonly relaxed: boolean;
}

/** One function without a result: its body may claim locals from the frame. */
export interface FunctionSource {
  readonly name: string;
  readonly params: readonly ValueType[];
  /** Default: true. */
  readonly exported?: boolean;
  readonly body: (frame: Frame, params: readonly Local[]) => readonly Code[];
}

/** The memory that a module imports as `env.memory`. */
export interface MemoryImport {
  readonly shared: boolean;
  /** Most pages of 64 KiB. */
  readonly maximum: number;
}

const VALUE_TYPE: Readonly<Record<ValueType, number>> = { i32: 0x7f, f32: 0x7d, v128: 0x7b };
const NO_RESULT = 0x40;

/** One function under construction: claims its local variables, numbered after its parameters. */
export class Frame {
  readonly shape: KernelShape;
  readonly types: ValueType[] = [];
  readonly #params: number;
  readonly #functions: readonly string[];

  /** @param params how many indices the parameters take; @param functions names that `call` knows */
  constructor(shape: KernelShape, params: number, functions: readonly string[]) {
    this.shape = shape;
    this.#params = params;
    this.#functions = functions;
  }

  /** A new local variable, zero at the start of a call. */
  local(type: ValueType): Local {
    this.types.push(type);
    return { index: this.#params + this.types.length - 1 };
  }

  /** `count` new local variables of one type. */
  locals(type: ValueType, count: number): Local[] {
    return Array.from({ length: count }, () => this.local(type));
  }

  /** Call another function of the module. */
  call(name: string, ...args: readonly Code[]): Code {
    const index = this.#functions.indexOf(name);
    if (index < 0) throw new Error(`the module has no function ${name}`);
    return [...args.flat(), 0x10, ...unsigned(index)];
  }

  /** `x * y + z` in four lanes: fused where the build says so. */
  multiplyAdd(x: Code, y: Code, z: Code): Code {
    return this.shape.relaxed ? f32x4.relaxedMadd(x, y, z) : f32x4.add(f32x4.multiply(x, y), z);
  }
}

/** Push a local's value. */
export function get(local: Local): Code {
  return [0x20, ...unsigned(local.index)];
}

/** Store a value in a local. */
export function set(local: Local, value: Code): Code {
  return [...value, 0x21, ...unsigned(local.index)];
}

/** `local += value`, for i32 locals. */
export function increase(local: Local, value: Code): Code {
  return set(local, i32.add(get(local), value));
}

/** Run the body, add `step` to the counter, repeat while `counter < limit` (unsigned): at least one turn. */
export function countUp(counter: Local, step: number, limit: Code, body: readonly Code[]): Code {
  const again = i32.lessThan(get(counter), limit);
  return [0x03, NO_RESULT, ...body.flat(), ...increase(counter, i32.constant(step)), ...again, 0x0d, 0, 0x0b];
}

/** As `countUp`, but no turn where the counter is not below the limit at the start. */
export function countWhile(counter: Local, step: number, limit: Code, body: readonly Code[]): Code {
  const isDone = i32.isZero(i32.lessThan(get(counter), limit));
  return [0x02, NO_RESULT, ...isDone, 0x0d, 0, ...countUp(counter, step, limit, body), 0x0b];
}

/** Run `yes` where the i32 condition is not zero, `no` elsewhere. */
export function ifElse(condition: Code, yes: readonly Code[], no: readonly Code[] = []): Code {
  const otherwise = no.length > 0 ? [0x05, ...no.flat()] : [];
  return [...condition, 0x04, NO_RESULT, ...yes.flat(), ...otherwise, 0x0b];
}

/** The binary of a module with these functions over a memory that it imports as `env.memory`. */
export function assembleModule(
  functions: readonly FunctionSource[], shape: KernelShape, memory: MemoryImport,
): Uint8Array<ArrayBuffer> {
  const names = functions.map(({ name }) => name);
  const types = functions.map(({ params }) => [0x60, ...vector(params.map((type) => [VALUE_TYPE[type]])), ...vector([])]);
  const limits = [memory.shared ? 3 : 1, ...unsigned(1), ...unsigned(memory.maximum)];
  const exports = functions.flatMap(({ name, exported = true }, index) =>
    exported ? [[...text(name), 0, ...unsigned(index)]] : [],
  );
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, vector(types)),
    ...section(2, vector([[...text("env"), ...text("memory"), 2, ...limits]])),
    ...section(3, vector(functions.map((_, index) => unsigned(index)))),
    ...section(7, vector(exports)),
    ...section(10, vector(functions.map((source) => functionBody(source, shape, names)))),
  ]);
}

function functionBody({ params, body }: FunctionSource, shape: KernelShape, names: readonly string[]): Code {
  const frame = new Frame(shape, params.length, names);
  const code = body(frame, params.map((_, index) => ({ index }))).flat();
  const locals = vector(frame.types.map((type) => [1, VALUE_TYPE[type]]));
  return sized([...locals, ...code, 0x0b]);
}

function section(id: number, content: Code): Code {
  return [id, ...sized(content)];
}
