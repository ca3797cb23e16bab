import type { TypedArray } from "../tensor/dtype.ts";
import { LawError } from "./errors.ts";

/** The largest finite magnitude in some arrays, at least 1: the size of the largest term of a computation. */
export function largestTerm(...arrays: readonly (TypedArray | null)[]): number {
  let largest = 1;
  for (const array of arrays) {
    for (const value of array ?? [])
      if (Number.isFinite(value) && Math.abs(value) > largest) largest = Math.abs(value);
  }
  return largest;
}

/** Two values agree: both NaN, the same infinity, or at most `bound` apart. */
export function agrees(actual: number, expected: number, bound: number): boolean {
  if (Number.isNaN(expected) || Number.isNaN(actual)) return Number.isNaN(expected) && Number.isNaN(actual);
  return actual === expected || Math.abs(actual - expected) <= bound;
}

/** Hold every element of `actual` to `expected`. @throws LawError naming `what`, the worst element and the bound */
export function mustAgree(
  op: string,
  what: string,
  actual: TypedArray,
  expected: TypedArray,
  bound: number,
): void {
  if (actual.length !== expected.length)
    throw new LawError(op, `${what}: ${actual.length} elements, expected ${expected.length}`);
  let worst = -1;
  for (let i = 0; i < actual.length; i++) {
    if (agrees(actual[i], expected[i], bound)) continue;
    if (worst < 0 || !(Math.abs(actual[i] - expected[i]) <= Math.abs(actual[worst] - expected[worst])))
      worst = i;
  }
  if (worst < 0) return;
  const error = Math.abs(actual[worst] - expected[worst]);
  const found = `element ${worst} of ${actual.length} is ${actual[worst]}, expected ${expected[worst]}`;
  throw new LawError(op, `${what}: ${found} (off by ${error}, allowed ${bound})`);
}

/** Hold two arrays to the same bits; `times` names what gave each. @throws LawError */
export function mustBeIdentical(
  op: string,
  what: string,
  actual: TypedArray,
  expected: TypedArray,
  times: readonly [actual: string, expected: string] = ["the second time", "the first"],
): void {
  const at = actual.findIndex((value: number, i: number) => !Object.is(value, expected[i]));
  if (at >= 0 || actual.length !== expected.length) {
    throw new LawError(
      op,
      `${what}: element ${at} is ${actual[at]} ${times[0]}, ${expected[at]} ${times[1]}`,
    );
  }
}
