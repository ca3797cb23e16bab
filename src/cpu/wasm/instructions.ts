import { type Code, floatBytes, signed, unsigned } from "./encoding.ts";

// Opcodes: https://webassembly.github.io/spec/core/binary/instructions.html and the relaxed SIMD proposal.

const ALIGN_4_BYTES = 2;

type Unary = (x: Code) => Code;
type Binary = (x: Code, y: Code) => Code;

const unary =
  (opcode: Code): Unary =>
  (x) => [...x, ...opcode];
const binary =
  (opcode: Code): Binary =>
  (x, y) => [...x, ...y, ...opcode];
const simd = (opcode: number): Code => [0xfd, ...unsigned(opcode)];
const access =
  (opcode: Code) =>
  (address: Code, offset: number): Code => [...address, ...opcode, ALIGN_4_BYTES, ...unsigned(offset)];
const storing =
  (opcode: Code) =>
  (address: Code, offset: number, value: Code): Code => [
    ...address, ...value, ...opcode, ALIGN_4_BYTES, ...unsigned(offset),
  ];

/** 32-bit integer instructions, unsigned where it matters; addresses are i32 byte offsets. */
export const i32 = {
  constant: (value: number): Code => [0x41, ...signed(value)],
  add: binary([0x6a]),
  subtract: binary([0x6b]),
  multiply: binary([0x6c]),
  divide: binary([0x6e]),
  remainder: binary([0x70]),
  and: binary([0x71]),
  shiftLeft: binary([0x74]),
  shiftRight: binary([0x76]),
  equal: binary([0x46]),
  lessThan: binary([0x49]),
  isZero: unary([0x45]),
  load: access([0x28]),
  store: storing([0x36]),
  /** The smaller of two values; both are evaluated twice. */
  min: (x: Code, y: Code): Code => [...x, ...y, ...x, ...y, 0x49, 0x1b],
  /** `condition ? x : y`, with both evaluated. */
  select: (condition: Code, x: Code, y: Code): Code => [...x, ...y, ...condition, 0x1b],
};

/** Single f32 arithmetic. */
export const f32 = {
  constant: (value: number): Code => [0x43, ...floatBytes(value)],
  add: binary([0x92]),
  subtract: binary([0x93]),
  multiply: binary([0x94]),
  divide: binary([0x95]),
  squareRoot: unary([0x91]),
  greaterThan: binary([0x5e]),
  fromI32: unary([0xb3]),
  load: access([0x2a]),
  store: storing([0x38]),
};

/** Double-precision arithmetic, for the few scalars that many elements depend on. */
export const f64 = {
  constant: (value: number): Code => [0x44, ...new Uint8Array(Float64Array.of(value).buffer)],
  add: binary([0xa0]),
  divide: binary([0xa3]),
  squareRoot: unary([0x9f]),
  fromF32: unary([0xbb]),
  fromI32: unary([0xb7]),
  toF32: unary([0xb6]),
  store: storing([0x39]),
};

/** 128-bit loads and stores at `address + offset` bytes, 4-byte aligned, and bitwise operations. */
export const v128 = {
  zero: (): Code => [...simd(12), ...new Array<number>(16).fill(0)],
  load: access(simd(0)),
  /** Eight bytes as 16-bit lanes. */
  loadBytes: access(simd(1)),
  loadBytesUnsigned: access(simd(2)),
  /** Four 16-bit numbers as 32-bit lanes. */
  loadHalves: access(simd(3)),
  loadHalvesUnsigned: access(simd(4)),
  /** One word, four times. */
  loadSplat: access(simd(9)),
  /** One word, and three zeros. */
  loadZero: access(simd(92)),
  store: storing(simd(11)),
  /** The first word alone. */
  storeFirst: (address: Code, offset: number, value: Code): Code => [
    ...address, ...value, ...simd(90), ALIGN_4_BYTES, ...unsigned(offset), 0,
  ],
  and: binary(simd(78)),
  andNot: binary(simd(79)),
  or: binary(simd(80)),
  xor: binary(simd(81)),
  /** Bits of `x` where the mask's are 1, else of `y`. */
  bitselect: (x: Code, y: Code, mask: Code): Code => [...x, ...y, ...mask, ...simd(82)],
  anyTrue: unary(simd(83)),
};

/** Four-lane f32 arithmetic. */
export const f32x4 = {
  splat: unary(simd(19)),
  /** The same constant four times. */
  constant: (value: number): Code => [...simd(12), ...[0, 1, 2, 3].flatMap(() => floatBytes(value))],
  lane: (x: Code, lane: number): Code => [...x, ...simd(31), lane],
  add: binary(simd(0xe4)),
  subtract: binary(simd(0xe5)),
  multiply: binary(simd(0xe6)),
  divide: binary(simd(0xe7)),
  squareRoot: unary(simd(0xe3)),
  negate: unary(simd(0xe1)),
  absolute: unary(simd(0xe0)),
  /** `y < x ? y : x`: a NaN in `x` stays. */
  pseudoMin: binary(simd(0xea)),
  /** `x < y ? y : x`: a NaN in `x` stays. */
  pseudoMax: binary(simd(0xeb)),
  equal: binary(simd(0x41)),
  lessThan: binary(simd(0x43)),
  greaterThan: binary(simd(0x44)),
  atLeast: binary(simd(0x46)),
  fromI32: unary(simd(0xfa)),
  /** `x * y + z`, rounded once or twice as the engine likes. */
  relaxedMadd: (x: Code, y: Code, z: Code): Code => [...x, ...y, ...z, ...simd(0x105)],
};

/** Two-lane f64 arithmetic. */
export const f64x2 = {
  lane: (x: Code, lane: number): Code => [...x, ...simd(0x21), lane],
  /** The lower two of four floats. */
  fromLowFloats: unary(simd(0x5f)),
  add: binary(simd(0xf0)),
  multiply: binary(simd(0xf2)),
};

/** Eight-lane i16 arithmetic. */
export const i16x8 = {
  /** Unsigned shift. */
  shiftRight: (x: Code, bits: number): Code => [...x, ...i32.constant(bits), ...simd(0x8d)],
};

/** Four-lane i32 arithmetic. */
export const i32x4 = {
  splat: unary(simd(17)),
  /** The lower or the upper four of eight signed 16-bit lanes. */
  fromLowHalves: unary(simd(0xa7)),
  fromHighHalves: unary(simd(0xa8)),
  /** Four constants. */
  lanes: (values: readonly number[]): Code => [...simd(12), ...new Uint8Array(Int32Array.from(values).buffer)],
  add: binary(simd(0xae)),
  subtract: binary(simd(0xb1)),
  multiply: binary(simd(0xb5)),
  shiftLeft: (x: Code, bits: number): Code => [...x, ...i32.constant(bits), ...simd(0xab)],
  /** Arithmetic shift. */
  shiftRight: (x: Code, bits: number): Code => [...x, ...i32.constant(bits), ...simd(0xac)],
  equal: binary(simd(0x37)),
  notEqual: binary(simd(0x38)),
  lessThan: binary(simd(0x39)),
  atLeastUnsigned: binary(simd(0x40)),
};

/** Two 64-bit products of 32-bit lanes, unsigned. */
export const i64x2 = {
  /** Of the lower two lanes. */
  multiplyLow: binary(simd(0xde)),
  /** Of the upper two. */
  multiplyHigh: binary(simd(0xdf)),
};

/** Four 32-bit words picked from the eight of `x` (0 to 3) and `y` (4 to 7). */
export function shuffleWords(x: Code, y: Code, words: readonly number[]): Code {
  return [...x, ...y, ...simd(13), ...words.flatMap((word) => [0, 1, 2, 3].map((byte) => word * 4 + byte))];
}
