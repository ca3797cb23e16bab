import { expect, it } from "vitest";
import { compilePattern, PatternError } from "../../src/delora/regex/index.ts";
import { PolargradError } from "../../src/tensor/errors.ts";

/** A pattern, the name of what is refused in it, and where that stands. */
const REFUSED: readonly (readonly [pattern: string, construct: string, position: number])[] = [
  ["a(?=b)", "lookahead (?=...)", 1],
  ["^(?!.*lm_head).*", "lookahead (?!...)", 1],
  ["(?<=q)_proj", "lookbehind (?<=...)", 0],
  [".*(?<!k)_proj", "lookbehind (?<!...)", 2],
  ["(a)\\1", "backreference \\1", 3],
  ["(?P<n>a)(?P=n)", "a backreference by name (?P=...)", 8],
  ["(a)?(?(1)b|c)", "a conditional group (?(...)...)", 4],
  ["é(?>a*)b", "an atomic group (?>...)", 1],
  ["a*+b", "a possessive quantifier", 1],
  ["a++", "a possessive quantifier", 1],
  ["a?+", "a possessive quantifier", 1],
  ["ab{2,3}+", "a possessive quantifier", 2],
  ["(?a)\\w", "the flag (?a)", 0],
  ["b(?a:\\w)", "the flag (?a)", 1],
  ["(?t)a", "the flag (?t)", 0],
  ["a\\N{EM DASH}", "a character by name (\\N{...})", 1],
  ["[\\N{EM DASH}]", "a character by name (\\N{...})", 1],
];

it.each(REFUSED)("%j: %s is refused by name, at %i", (source, construct, position) => {
  const error = errorOf(() => compilePattern(source));
  expect(error).toMatchObject({ code: "unsupported", construct, position, pattern: source });
  expect(error.message).toContain(`${construct} is not supported at position ${position}; `);
  expect(error.message).toContain(JSON.stringify(source));
});

it("says what to do", () => {
  expect(errorOf(() => compilePattern("^(?!.*lm_head).*")).message).toBe(
    'pattern "^(?!.*lm_head).*": lookahead (?!...) is not supported at position 1; ' +
      "list the module names instead, or say in exclude_modules what must not match",
  );
  expect(errorOf(() => compilePattern("(a")).message).toBe(
    'pattern "(a": missing ), unterminated subpattern at position 0; ' +
      "correct the pattern (in the syntax of Python's re), or list the module names instead",
  );
});

it("is an error of the library", () => {
  expect(errorOf(() => compilePattern("("))).toBeInstanceOf(PolargradError);
});

const TOO_LARGE: readonly (readonly [pattern: string, construct: string, position: number])[] = [
  ["a{10001}", "the repetition {10001}", 1],
  ["a{0,9999}", "the repetition {0,9999}", 1],
  ["x(a{1,200}){1,200}?y", "the repetition {1,200}?", 11],
  ["((a{99}){99}){99}", "the repetition {99}", 13],
  ["(?:|){4294967294}", "the repetition {4294967294}", 5],
  ["a".repeat(10_000), "the pattern", 0],
];

it.each(TOO_LARGE)("%.20s: expands beyond the limit", (source, construct, position) => {
  const started = performance.now();
  const error = errorOf(() => compilePattern(source));
  expect(error).toMatchObject({ code: "too-large", construct, position });
  expect(error.message).toContain("expands to more than 10000 states");
  expect(performance.now() - started).toBeLessThan(1000);
});

it("takes what stays within the limit, and counts that repeat nothing", () => {
  expect(compilePattern("a{9000}").fullmatch("a".repeat(9000))).toBe(true);
  expect(compilePattern("(?:){4294967294}a").fullmatch("a")).toBe(true);
  expect(compilePattern("(?:(?:){99}){99}a").matchGroup("a")).toBe("a");
});

it("refuses groups whose turns take too many states only when they are asked for", () => {
  const pattern = compilePattern(`${"(".repeat(14)}a*${")+".repeat(14)}b`);
  expect(pattern.fullmatch("aab")).toBe(true);
  expect(errorOf(() => pattern.matchGroup("aab", 1))).toMatchObject({ code: "too-large" });
});

it("refuses a count that Python refuses, and nesting beyond the parser", () => {
  expect(errorOf(() => compilePattern("a{4294967295}"))).toMatchObject({
    code: "syntax",
    reason: "the repetition number is too large",
    position: 1,
  });
  expect(compilePattern(`${"(".repeat(200)}a${")".repeat(200)}`).fullmatch("a")).toBe(true);
  expect(errorOf(() => compilePattern("(".repeat(100_000)))).toMatchObject({
    code: "too-large",
    construct: "deep nesting",
    position: 201,
  });
});

it.each([2, -1, 0.5, Number.NaN, "b", "toString"])("has no group %j", (group) => {
  const error = errorOf(() => compilePattern("(?P<a>x)").matchGroup("x", group));
  expect(error).toMatchObject({ code: "no-such-group" });
  expect(error.message).toContain("no such group");
});

it("lets nothing in the pattern steer a terminal", () => {
  for (const source of ["[\x1b-\x07]", "(?\u202e)", "(?P<\x1b[31m>a)", "\x1b[2J("]) {
    expect(errorOf(() => compilePattern(source)).message).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  }
});

function errorOf(run: () => unknown): PatternError {
  try {
    run();
  } catch (error) {
    if (error instanceof PatternError) return error;
    throw error;
  }
  throw new Error("no error was thrown");
}
