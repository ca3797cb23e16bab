import { compileSyntax } from "./compile.ts";
import { PatternError } from "./errors.ts";
import { parsePattern } from "./parse.ts";
import type { Program } from "./program.ts";
import { type Question, simulate, type Trail } from "./simulate.ts";

/**
 * A compiled regular expression with the meaning of Python's `re` for `str`. Every method takes time
 * O(pattern × text), whatever the pattern. Characters are code points.
 */
export interface Pattern {
  /** The pattern as it was given. */
  readonly source: string;
  /** The number of capturing groups. */
  readonly groups: number;
  /** The number of each named group. */
  readonly groupNames: ReadonlyMap<string, number>;
  /** Whether the whole text matches: `re.fullmatch(source, text) is not None`. */
  fullmatch(text: string): boolean;
  /** Whether a start of the text matches: `re.match(source, text) is not None`. */
  match(text: string): boolean;
  /** Whether any part of the text matches: `re.search(source, text) is not None`. */
  search(text: string): boolean;
  /**
   * What a group of `re.match(source, text)` matched; group 0, the default, is the whole match. The match is
   * the one Python finds: alternatives from left to right, greedy and lazy quantifiers. `null` when the text
   * does not match, or the group took no part.
   *
   * @throws PatternError for a group that the pattern does not have, or when the pattern needs more than
   * 10,000 states to tell its groups, which are more than to match
   */
  matchGroup(text: string, group?: number | string): string | null;
  /** As `matchGroup`, of `re.search(source, text)`. */
  searchGroup(text: string, group?: number | string): string | null;
  /** As `matchGroup`, of `re.fullmatch(source, text)`. */
  fullmatchGroup(text: string, group?: number | string): string | null;
}

const FULLMATCH: Question = { fromStart: true, toEnd: true };
const MATCH: Question = { fromStart: true, toEnd: false };
const SEARCH: Question = { fromStart: false, toEnd: false };

/**
 * Compiles a regular expression in the syntax of Python's `re` (3.11, `str` patterns).
 *
 * Literals, escapes, classes, `^ $ \A \Z \b \B`, groups, alternatives, greedy and lazy quantifiers and the
 * flags i, m, s, u and x are there. Lookahead, lookbehind, backreferences, conditional and atomic groups,
 * possessive quantifiers, the flags a and t and `\N{...}` are refused by name, and so is a pattern of more
 * than 10,000 states. `\d`, `\w`, `\s` and letter case are those of the Unicode version of the JavaScript
 * engine.
 *
 * @throws PatternError for wrong syntax, with Python's text and position, and for what is refused
 */
export function compilePattern(pattern: string): Pattern {
  const { root, groups, names } = parsePattern(pattern);
  const program = compileSyntax(root, pattern, false);
  let withGroups: Program | null = null;

  const matches = (text: string, question: Question): boolean =>
    simulate(program, codePoints(text), question) !== undefined;

  const groupNumber = (group: number | string): number => {
    const number = typeof group === "string" ? names.get(group) : group;
    if (number !== undefined && Number.isInteger(number) && number >= 0 && number <= groups) return number;
    throw noSuchGroup(pattern, group, groups);
  };

  const groupOf = (text: string, group: number | string, question: Question): string | null => {
    const number = groupNumber(group);
    const codes = codePoints(text);
    // Group 0 is the whole match.
    withGroups ??= compileSyntax({ kind: "capture", group: 0, body: root }, pattern, true);
    const trail = simulate(withGroups, codes, question);
    const end = newest(trail, 2 * number + 1);
    const start = newest(trail, 2 * number);
    if (start === null || end === null) return null;
    return Array.from(codes.subarray(start, end), (code) => String.fromCodePoint(code)).join("");
  };

  return {
    source: pattern,
    groups,
    groupNames: names,
    fullmatch: (text) => matches(text, FULLMATCH),
    match: (text) => matches(text, MATCH),
    search: (text) => matches(text, SEARCH),
    fullmatchGroup: (text, group = 0) => groupOf(text, group, FULLMATCH),
    matchGroup: (text, group = 0) => groupOf(text, group, MATCH),
    searchGroup: (text, group = 0) => groupOf(text, group, SEARCH),
  };
}

function codePoints(text: string): Int32Array {
  return Int32Array.from(text, (character) => character.codePointAt(0) ?? 0);
}

function newest(trail: Trail | null | undefined, slot: number): number | null {
  for (let entry = trail ?? null; entry; entry = entry.earlier) {
    if (entry.slot === slot) return entry.position;
  }
  return null;
}

function noSuchGroup(pattern: string, group: number | string, groups: number): PatternError {
  return new PatternError({
    code: "no-such-group",
    pattern,
    position: 0,
    reason: `no such group ${JSON.stringify(group)}`,
    advice: `it has ${groups} numbered from 1; group 0 is the whole match`,
  });
}
