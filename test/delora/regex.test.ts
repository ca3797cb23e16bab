import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { compilePattern, PatternError } from "../../src/delora/regex/index.ts";

type Groups = readonly (string | null)[] | null;
type Row = readonly [text: string, fullmatch: Groups, match: Groups, search: Groups];

/** Python's answers, recorded by scripts/record-python-re.py. */
interface Recorded {
  readonly answers: readonly (readonly [pattern: string, rows: readonly Row[]])[];
  readonly errors: readonly (readonly [pattern: string, message: string, position: number])[];
}

const golden = new URL("../goldens/python-re.json", import.meta.url);
const { answers, errors } = JSON.parse(readFileSync(golden, "utf8")) as Recorded;

it("has enough recorded answers to compare with", () => {
  const texts = answers.flatMap(([, rows]) => rows);
  expect(texts.length * 3).toBeGreaterThan(3000);
  for (const operation of [1, 2, 3] as const) {
    const matched = texts.filter((row) => row[operation] !== null).length;
    expect(matched).toBeGreaterThan(200);
    expect(texts.length - matched).toBeGreaterThan(200);
  }
});

it.each(answers)("%j answers as in Python", (source, rows) => {
  const pattern = compilePattern(source);
  for (const [text, fullmatch, match, search] of rows) {
    const all = (find: (text: string, group: number) => string | null): Groups =>
      Array.from({ length: pattern.groups + 1 }, (_, group) => find(text, group));
    const got = {
      text,
      fullmatch: pattern.fullmatch(text) ? all(pattern.fullmatchGroup) : null,
      match: pattern.match(text) ? all(pattern.matchGroup) : null,
      search: pattern.search(text) ? all(pattern.searchGroup) : null,
    };
    expect(got).toEqual({ text, fullmatch, match, search });
    if (!got.match) expect(pattern.matchGroup(text)).toBeNull();
  }
});

it.each(errors)("%j is refused with Python's message and position", (source, reason, position) => {
  const error = errorOf(source);
  expect(error).toMatchObject({ pattern: source, position, reason, code: "syntax", construct: null });
  expect(error.message).toContain(`at position ${position}`);
});

it("finds the layer index as PEFT does", () => {
  const pattern = compilePattern(String.raw`.*?\.[^.]*\.(\d+)\.`);
  expect(pattern.matchGroup("model.layers.12.self_attn.q_proj", 1)).toBe("12");
  expect(pattern.matchGroup("encoder.block.2.layer.0.SelfAttention.q", 1)).toBe("2");
  expect(pattern.matchGroup("lm_head", 1)).toBeNull();
});

it("knows its groups by number and by name", () => {
  const pattern = compilePattern("(a)(?P<second>b)?(?:c)");
  expect(pattern.groups).toBe(2);
  expect([...pattern.groupNames]).toEqual([["second", 2]]);
  expect(pattern.matchGroup("abcd")).toBe("abc");
  expect(pattern.matchGroup("abc", "second")).toBe("b");
  expect(pattern.matchGroup("ac", "second")).toBeNull();
});

it("has no answer in an empty text for \\b and \\B, as Python up to 3.13", () => {
  expect(compilePattern("\\b").search("")).toBe(false);
  expect(compilePattern("\\B").search("")).toBe(false);
});

it("matches whole code points, and lone surrogates", () => {
  expect(compilePattern("^.$").fullmatch("😀")).toBe(true);
  expect(compilePattern("..").fullmatch("\ud83d!")).toBe(true);
  expect(compilePattern("(.)!").matchGroup("😀!", 1)).toBe("😀");
});

function errorOf(source: string): PatternError {
  try {
    compilePattern(source);
  } catch (error) {
    if (error instanceof PatternError) return error;
    throw error;
  }
  throw new Error(`${source} was accepted`);
}
