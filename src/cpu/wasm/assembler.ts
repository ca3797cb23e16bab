/**
 * A small WebAssembly assembler: instructions are byte arrays that nest like expressions, and
 * {@link assembleModule} puts functions and one exported memory into a binary module.
 * Opcodes and section numbers: https://webassembly.github.io/spec/core/binary and the relaxed SIMD proposal.
 */

/** Encoded instructions. */
export type Code = readonly number[];

/** The value types that the kernels use. */
export type ValueType = "i32" | "v128";

/** A parameter or a local variable of a function, by its index. */
export interface Local {
  readonly index: number;
}

/** One exported function: `params` i32 parameters, no result, a body that may claim locals from the frame. */
export interface FunctionSource {
  readonly name: string;
  readonly params: number;
  readonly body: (frame: Frame, params: readonly Local[]) => readonly Code[];
}

const VALUE_TYPE: Readonly<Record<ValueType, number>> = { i32: 0x7f, v128: 0x7b };
const NO_RESULT = 0x40;
const ALIGN_4_BYTES = 2;

/** Claims the local variables of one function, numbered after its parameters. */
export class Frame {
  readonly types: ValueType[] = [];
  private readonly params: number;

  /** @param params How many indices the parameters take. */
  constructor(params: number) {
    this.params = params;
  }

  /** A new local variable, zero at the start of a call. */
  local(type: ValueType): Local {
    this.types.push(type);
    return { index: this.params + this.types.length - 1 };
  }

  /** `count` new local variables of one type. */
  locals(type: ValueType, count: number): Local[] {
    return Array.from({ length: count }, () => this.local(type));
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

/** Run `yes` where the i32 condition is not zero, `no` elsewhere. */
export function ifElse(condition: Code, yes: readonly Code[], no: readonly Code[]): Code {
  return [...condition, 0x04, NO_RESULT, ...yes.flat(), 0x05, ...no.flat(), 0x0b];
}

/** 32-bit integer instructions; addresses are i32 byte offsets. */
export const i32 = {
  constant: (value: number): Code => [0x41, ...signed(value)],
  add: (x: Code, y: Code): Code => [...x, ...y, 0x6a],
  multiply: (x: Code, y: Code): Code => [...x, ...y, 0x6c],
  lessThan: (x: Code, y: Code): Code => [...x, ...y, 0x49],
};

/** 128-bit loads and stores at `address + offset` bytes, 4-byte aligned. `loadSplat` repeats one word. */
export const v128 = {
  zero: (): Code => [...simd(12), ...new Array<number>(16).fill(0)],
  load: (address: Code, offset: number): Code => [...address, ...simd(0), ALIGN_4_BYTES, ...unsigned(offset)],
  loadSplat: (address: Code, offset: number): Code => [
    ...address, ...simd(9), ALIGN_4_BYTES, ...unsigned(offset),
  ],
  store: (address: Code, offset: number, value: Code): Code => [
    ...address, ...value, ...simd(11), ALIGN_4_BYTES, ...unsigned(offset),
  ],
};

/** Four-lane f32 arithmetic. `relaxedMadd` is `x * y + z`, rounded once or twice as the engine likes. */
export const f32x4 = {
  add: (x: Code, y: Code): Code => [...x, ...y, ...simd(0xe4)],
  multiply: (x: Code, y: Code): Code => [...x, ...y, ...simd(0xe6)],
  relaxedMadd: (x: Code, y: Code, z: Code): Code => [...x, ...y, ...z, ...simd(0x105)],
};

/** Four 32-bit words picked from the eight of `x` (0 to 3) and `y` (4 to 7). */
export function shuffleWords(x: Code, y: Code, words: readonly number[]): Code {
  return [...x, ...y, ...simd(13), ...words.flatMap((word) => [0, 1, 2, 3].map((byte) => word * 4 + byte))];
}

/** The binary of a module that exports the functions and a growing memory of one page, named `memory`. */
export function assembleModule(functions: readonly FunctionSource[]): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ params }) => [
    0x60, ...vector(new Array<Code>(params).fill([VALUE_TYPE.i32])), ...vector([]),
  ]);
  const exports = functions.map(({ name }, index) => [...text(name), 0, ...unsigned(index)]);
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, vector(types)),
    ...section(3, vector(functions.map((_, index) => unsigned(index)))),
    ...section(5, vector([[0, ...unsigned(1)]])),
    ...section(7, vector([...exports, [...text("memory"), 2, 0]])),
    ...section(10, vector(functions.map(functionBody))),
  ]);
}

function functionBody({ params, body }: FunctionSource): Code {
  const frame = new Frame(params);
  const code = body(frame, Array.from({ length: params }, (_, index) => ({ index }))).flat();
  const locals = vector(frame.types.map((type) => [1, VALUE_TYPE[type]]));
  return sized([...locals, ...code, 0x0b]);
}

function section(id: number, content: Code): Code {
  return [id, ...sized(content)];
}

function sized(bytes: Code): Code {
  return [...unsigned(bytes.length), ...bytes];
}

function vector(items: readonly Code[]): Code {
  return [...unsigned(items.length), ...items.flat()];
}

function text(name: string): Code {
  return sized([...new TextEncoder().encode(name)]);
}

function simd(opcode: number): Code {
  return [0xfd, ...unsigned(opcode)];
}

/** LEB128, unsigned: seven bits a byte, the lowest first. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return [...bytes, rest];
}

/** LEB128, signed: ends when what is left is the sign of the last byte's bit 6. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest < -0x40 || rest > 0x3f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>= 7;
  }
  return [...bytes, rest & 0x7f];
}
