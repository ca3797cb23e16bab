import { expect, it } from "vitest";
import { compilePattern } from "../../src/delora/regex/index.ts";

/**
 * Patterns that hold a backtracking matcher for seconds to years: what to repeat so that the whole name
 * matches, and what to append so that it does not.
 */
const CATASTROPHIC: readonly (readonly [pattern: string, repeated: string, appended: string])[] = [
  ["^(?:(.*)*(.*)*proj)$", "proj", "!"],
  ["(a+)+$", "a", "!"],
  ["^(a+)+$", "a", "!"],
  ["([a-zA-Z]+)*", "aB", "1"],
  ["(a|aa)+$", "a", "!"],
  ["(a|a?)+$", "a", "!"],
  ["(.*a){25}", "a", "!"],
  ["(.*a)+a*$", "a", "!"],
  ["^(([a-z])+.)+[A-Z]([a-z])+$", "aAa", "!"],
  ["(a*)*b*$", "a", "c"],
  ["(a*)*(b*)*(a*)*$", "a", "!"],
  ["((a*)*)*$", "a", "!"],
  ["((a+)+)+$", "a", "!"],
  ["(((a?)+)+)+$", "a", "!"],
  ["(?:a?){100}a{100}", "a", "!"],
  ["(?:a{0,30}){0,30}$", "a", "!"],
  ["(?:a{1,40}){1,40}", "a", "!"],
  ["(?:\\w{0,40}){0,40}\\Z", "é", "!"],
  ["(\\w+\\.)+\\w+$", "layers.0", "."],
  ["(\\w+\\.?)+$", "layers.", "/"],
  ["^(\\w+\\s?)*$", "proj ", "!"],
  ["^(\\d+)*$", "1", "x"],
  ["(\\d+|\\d+\\.)+$", "12.", "x"],
  ["(x+x+)+y?$", "xx", "!"],
  ["(.|\\w)*$", "q", "\n\n"],
  ["(.*)*=?$", "q", "\n\n"],
  ["(.+)+(.+)+(.+)+$", "q", "\n\n"],
  ["(.*?,?){30}$", "a,", "\n\n"],
  ["^(?:.*\\.)*(?:.*\\.)*q_proj$", "layers.q_proj", "!"],
  ["(.*)\\.(.*)\\.(.*)\\.(.*)\\.(.*)_proj", "a.b_proj", "!"],
  ["([^.!]*\\.?)*$", "block.", "!"],
  ["(\\w*\\.*)*$", "block.", "-"],
  ["^([a-z0-9]+([-._][a-z0-9]+)*)*$", "up-proj_1.a", "!"],
  ["(?i)(?:[a-z]*S*ſ*)*$", "sSſ", "!"],
  ["(?:\\b\\w*\\b)*$", "proj", "-"],
  ["(?:(?:a|b)*|(?:b|a)*)*$", "ab", "c"],
  ["(?:(?:(?:a{0,9}){0,9}){0,9})*$", "a", "!"],
];
const LENGTH = 200;
const LIMIT_MS = 50;
const FIRST_LIMIT_MS = 250;
/** A machine under load may disturb some tries, not all of them. */
const TRIES = 10;

it("has at least 33 of them", () => {
  expect(new Set(CATASTROPHIC.map(([pattern]) => pattern)).size).toBeGreaterThanOrEqual(33);
});

it.each(CATASTROPHIC)("%j answers at once", (source, repeated, appended) => {
  const matching = repeated.repeat(Math.ceil(LENGTH / repeated.length));
  const failing = matching + appended;
  expect(answerInTime(() => compilePattern(source).fullmatch(failing))).toBe(false);
  expect(answerInTime(() => compilePattern(source).fullmatch(matching))).toBe(true);
  answerInTime(() => compilePattern(source).match(failing));
  answerInTime(() => compilePattern(source).search(failing));
  expect(answerInTime(() => compilePattern(source).fullmatchGroup(matching))).toBe(matching);
});

/** Asks until an answer comes in time, and holds the first answer to its own limit. */
function answerInTime<T>(ask: () => T): T {
  const times: number[] = [];
  while (true) {
    const started = performance.now();
    const answer = ask();
    times.push(performance.now() - started);
    expect(times[0], "the first answer, in ms").toBeLessThan(FIRST_LIMIT_MS);
    if (Math.min(...times) < LIMIT_MS) return answer;
    expect(times.length, `tries, which took ${times.map(Math.round)} ms`).toBeLessThan(TRIES);
  }
}
