import { afterEach, expect, it } from "vitest";
import { dropout, tensor } from "../../src/ops/index.ts";
import { setCpuPath } from "../../src/ops/device.ts";

afterEach(() => setCpuPath("proven"));

/** Bits of a result, all NaNs alike and zeros without their sign. */
const pattern = (values: ArrayLike<number>): string[] =>
  Array.from(values, (value) => (Number.isNaN(value) ? "NaN" : value === 0 ? "0" : value.toPrecision(6)));

const calls = [
  { p: 0.05, seed: 1, stream: 2 },
  { p: 0.9, seed: 0, stream: 0 },
  { p: 0, seed: 3, stream: 5 },
  { p: 1, seed: 4, stream: 6 },
  { p: 0.5, seed: 0xffff_ffff, stream: 0xfedc_ba98 },
];
const sizes = [1, 3, 4, 15, 16, 17, 33, 16_384, 40_003];

it.each(calls.flatMap((attrs) => sizes.map((size) => ({ ...attrs, size }))))(
  "the kernel of dropout zeroes what the reference zeroes: p $p, seed $seed, stream $stream, $size elements",
  ({ size, ...attrs }) => {
    const odd: Readonly<Record<number, number>> = { 5: Number.NaN, 13: Number.POSITIVE_INFINITY, 14: Number.NEGATIVE_INFINITY };
    const x = tensor(Float64Array.from({ length: size }, (_, i) => odd[i % 97] ?? (i % 7) + 1), { device: "cpu", shape: [size] });
    setCpuPath("fast");
    const fast = pattern(dropout(x, attrs).dataSync());
    setCpuPath("reference");
    expect(fast).toEqual(pattern(dropout(x, attrs).dataSync()));
  },
);
