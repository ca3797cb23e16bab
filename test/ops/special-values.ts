import { expect } from "vitest";
import {
  abs,
  clamp,
  cos,
  div,
  equal,
  erf,
  exp,
  gelu,
  gradients,
  greater,
  greaterEqual,
  isFinite as finite,
  less,
  lessEqual,
  log,
  maximum,
  minimum,
  neg,
  notEqual,
  ones,
  pow,
  reciprocal,
  relu,
  rsqrt,
  sigmoid,
  sign,
  silu,
  sin,
  sqrt,
  square,
  sub,
  tanh,
  tensor,
} from "../../src/ops/index.ts";
import type { TensorOptions } from "../../src/ops/create.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

// Every expectation below is what PyTorch 2.13 computes in float64 (values to six digits).

const NAMES: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Inf: Number.POSITIVE_INFINITY,
  "-Inf": Number.NEGATIVE_INFINITY,
};
const parse = (row: string): number[] => row.split(" ").map((word) => NAMES[word] ?? Number(word));

const UNARY_AT = "NaN Inf -Inf 0 -0 1 -1 50 -50";
type Unary = readonly [name: string, f: (x: Tensor) => Tensor, y: string, dx: string];

/** Values and gradients of the ops of one input at `UNARY_AT`; "" where there is no gradient. */
const UNARY: readonly Unary[] = [
  ["neg", (x) => neg(x), "NaN -Inf Inf -0 0 -1 1 -50 50", "-1 -1 -1 -1 -1 -1 -1 -1 -1"],
  [
    "exp",
    (x) => exp(x),
    "NaN Inf 0 1 1 2.71828 0.367879 5.18471e+21 1.92875e-22",
    "NaN Inf 0 1 1 2.71828 0.367879 5.18471e+21 1.92875e-22",
  ],
  ["log", (x) => log(x), "NaN Inf NaN -Inf -Inf 0 NaN 3.91202 NaN", "NaN 0 -0 Inf -Inf 1 -1 0.02 -0.02"],
  ["sqrt", (x) => sqrt(x), "NaN Inf NaN 0 -0 1 NaN 7.07107 NaN", "NaN 0 NaN Inf -Inf 0.5 NaN 0.0707107 NaN"],
  [
    "rsqrt",
    (x) => rsqrt(x),
    "NaN 0 NaN Inf -Inf 1 NaN 0.141421 NaN",
    "NaN -0 NaN -Inf Inf -0.5 NaN -0.00141421 NaN",
  ],
  ["abs", (x) => abs(x), "NaN Inf Inf 0 0 1 1 50 50", "0 1 -1 0 0 1 -1 1 -1"],
  ["sign", (x) => sign(x), "0 1 -1 0 0 1 -1 1 -1", "0 0 0 0 0 0 0 0 0"],
  [
    "sin",
    (x) => sin(x),
    "NaN NaN NaN 0 -0 0.841471 -0.841471 -0.262375 0.262375",
    "NaN NaN NaN 1 1 0.540302 0.540302 0.964966 0.964966",
  ],
  [
    "cos",
    (x) => cos(x),
    "NaN NaN NaN 1 1 0.540302 0.540302 0.964966 0.964966",
    "NaN NaN NaN -0 0 -0.841471 0.841471 0.262375 -0.262375",
  ],
  ["tanh", (x) => tanh(x), "NaN 1 -1 0 -0 0.761594 -0.761594 1 -1", "NaN 0 0 1 1 0.419974 0.419974 0 0"],
  [
    "sigmoid",
    (x) => sigmoid(x),
    "NaN 1 0 0.5 0.5 0.731059 0.268941 1 1.92875e-22",
    "NaN 0 0 0.25 0.25 0.196612 0.196612 0 1.92875e-22",
  ],
  [
    "silu",
    (x) => silu(x),
    "NaN Inf NaN 0 -0 0.731059 -0.268941 50 -9.64375e-21",
    "NaN NaN NaN 0.5 0.5 0.927671 0.0723295 1 -9.45087e-21",
  ],
  [
    "gelu",
    (x) => gelu(x),
    "NaN Inf NaN 0 -0 0.841345 -0.158655 50 -0",
    "NaN NaN NaN 0.5 0.5 1.08332 -0.0833155 1 0",
  ],
  [
    "gelu by tanh",
    (x) => gelu(x, { approximate: "tanh" }),
    "NaN Inf NaN 0 -0 0.841192 -0.158808 50 -0",
    "NaN NaN NaN 0.5 0.5 1.08296 -0.0829641 1 0",
  ],
  [
    "erf",
    (x) => erf(x),
    "NaN 1 -1 0 -0 0.842701 -0.842701 1 -1",
    "NaN 0 0 1.12838 1.12838 0.415107 0.415107 0 0",
  ],
  ["relu", (x) => relu(x), "NaN Inf 0 0 -0 1 0 50 0", "1 1 0 0 0 1 0 1 0"],
  ["square", (x) => square(x), "NaN Inf Inf 0 0 1 1 2500 2500", "NaN Inf -Inf 0 -0 2 -2 100 -100"],
  [
    "reciprocal",
    (x) => reciprocal(x),
    "NaN 0 -0 Inf -Inf 1 -1 0.02 -0.02",
    "NaN -0 -0 -Inf -Inf -1 -1 -0.0004 -0.0004",
  ],
  ["clamp", (x) => clamp(x, { min: -1, max: 1 }), "NaN 1 -1 0 -0 1 -1 1 -1", "0 0 0 1 1 1 1 0 0"],
  ["clamp from 0", (x) => clamp(x, { min: 0 }), "NaN Inf 0 0 -0 1 0 50 0", "0 1 0 1 1 1 0 1 0"],
  ["isFinite", (x) => finite(x), "0 0 0 1 1 1 1 1 1", ""],
];

type Pair = readonly [name: string, f: (a: Tensor, b: Tensor) => Tensor, y: string, da: string, db: string];
const PAIR_AT = ["NaN NaN 1 Inf Inf -Inf 0 1 2 -2", "NaN 1 NaN NaN Inf Inf -0 1 1 1"] as const;

/** Values and gradients of the ops of two inputs at `PAIR_AT`. */
const PAIRS: readonly Pair[] = [
  ["sub", sub, "NaN NaN NaN NaN NaN -Inf 0 0 1 -3", "1 1 1 1 1 1 1 1 1 1", "-1 -1 -1 -1 -1 -1 -1 -1 -1 -1"],
  [
    "div",
    div,
    "NaN NaN NaN NaN NaN NaN NaN 1 2 -2",
    "NaN 1 NaN NaN 0 0 -Inf 1 1 1",
    "NaN NaN NaN NaN NaN NaN NaN -1 -2 2",
  ],
  [
    "maximum",
    maximum,
    "NaN NaN NaN NaN Inf Inf -0 1 2 1",
    "1 1 1 1 0.5 0 0.5 0.5 1 0",
    "1 1 1 1 0.5 1 0.5 0.5 0 1",
  ],
  [
    "minimum",
    minimum,
    "NaN NaN NaN NaN Inf -Inf -0 1 1 -2",
    "1 1 1 1 0.5 1 0.5 0.5 0 1",
    "1 1 1 1 0.5 0 0.5 0.5 1 0",
  ],
  ["greater", greater, "0 0 0 0 0 0 0 0 1 0", "", ""],
  ["greaterEqual", greaterEqual, "0 0 0 0 1 0 1 1 1 0", "", ""],
  ["less", less, "0 0 0 0 0 1 0 0 0 1", "", ""],
  ["lessEqual", lessEqual, "0 0 0 0 1 1 1 1 0 1", "", ""],
  ["equal", equal, "0 0 0 0 1 0 1 1 0 0", "", ""],
  ["notEqual", notEqual, "1 1 1 1 0 1 0 0 1 1", "", ""],
];

/** `a b a^b d/da d/db`. */
const POWERS = [
  "NaN 0 1 0 NaN",
  "NaN 2 NaN NaN NaN",
  "2 NaN NaN NaN NaN",
  "1 NaN 1 NaN 0",
  "1 Inf 1 Inf 0",
  "-1 Inf 1 Inf NaN",
  "-1 -Inf 1 -Inf NaN",
  "0 0 1 0 0",
  "0 2 0 0 0",
  "0 -1 Inf -Inf -Inf",
  "-0 -1 -Inf -Inf Inf",
  "-0 -2 Inf Inf -Inf",
  "0 -0.5 Inf -Inf -Inf",
  "-2 3 -8 12 NaN",
  "-2 2 4 -4 NaN",
  "-2 -1 -0.5 -0.25 NaN",
  "-2 0.5 NaN NaN NaN",
  "-Inf 3 -Inf Inf NaN",
  "-Inf 2 Inf -Inf NaN",
  "-Inf 0.5 Inf 0 NaN",
  "-Inf -1 -0 -0 NaN",
  "Inf 2 Inf Inf Inf",
  "Inf -2 0 -0 NaN",
  "2 Inf Inf Inf Inf",
  "2 -Inf 0 NaN 0",
  "0.5 Inf 0 NaN -0",
  "0.5 -Inf Inf -Inf -Inf",
  "-0.5 Inf 0 NaN NaN",
  "-2 Inf Inf Inf NaN",
  "3 4 81 108 88.987595",
];

/** One row of the tables, ready to run. */
export interface SpecialCase {
  readonly name: string;
  readonly f: (...inputs: Tensor[]) => Tensor;
  readonly inputs: readonly (readonly number[])[];
  readonly y: readonly number[];
  /** Gradient by each input; empty where there is none. */
  readonly gradients: readonly (readonly number[])[];
}

const powers = POWERS.map(parse);
const column = (k: number): number[] => powers.map((row) => row[k]);

/** PyTorch's answers at NaN, infinities, zeros, ties and a few plain points. */
export const SPECIAL_CASES: readonly SpecialCase[] = [
  ...UNARY.map(([name, f, y, dx]) => ({
    name,
    f,
    inputs: [parse(UNARY_AT)],
    y: parse(y),
    gradients: dx ? [parse(dx)] : [],
  })),
  ...PAIRS.map(([name, f, y, da, db]) => ({
    name,
    f,
    inputs: PAIR_AT.map(parse),
    y: parse(y),
    gradients: da ? [parse(da), parse(db)] : [],
  })),
  {
    name: "pow",
    f: (a, b) => pow(a, b),
    inputs: [column(0), column(1)],
    y: column(2),
    gradients: [column(3), column(4)],
  },
];

/** Same NaNs and infinities, zeros of any sign, other values to 5 digits. */
export function expectLike(actual: ArrayLike<number>, expected: readonly number[], what: string): void {
  const wrong = expected.flatMap((value, i) => {
    const got = actual[i];
    const same = Number.isNaN(value)
      ? Number.isNaN(got)
      : got === value || Math.abs(got - value) <= 1e-5 * Math.abs(value) + 2e-7;
    return same ? [] : [`${what}[${i}]: ${got}, PyTorch ${value}`];
  });
  expect(wrong).toEqual([]);
}

/** Run one case and hold it to PyTorch's answers. */
export async function checkSpecialCase(
  { name, f, inputs, y, gradients: expected }: SpecialCase,
  options: TensorOptions,
): Promise<void> {
  const args = inputs.map((values) => tensor(values, { ...options, requiresGrad: expected.length > 0 }));
  const result = f(...args);
  expectLike(await result.data(), y, name);
  if (expected.length === 0) return expect(result.dtype).toBe("bool");
  const found = gradients(result, args, { gradient: ones(result.shape, options) });
  for (const [k, gradient] of found.entries())
    expectLike(await gradient.data(), expected[k], `gradient of ${name} by input ${k}`);
}
