import { type Reader, tokenLength } from "./reader.ts";
import { type Flags, NO_FLAGS } from "./syntax.ts";

/** What stands between `(` and the first alternative of a group. */
export type GroupStart =
  | { readonly kind: "capture"; readonly name: string | null }
  /** `(?:` or `(?i-s:`, with the flags that hold inside. */
  | { readonly kind: "plain"; readonly flags: Flags }
  /** `(?i)`, closed already. */
  | { readonly kind: "global-flags"; readonly flags: Flags }
  /** `(?#...)`, closed already. */
  | { readonly kind: "comment" };

const FLAG_NAMES: Readonly<Record<string, keyof Flags>> = {
  i: "ignoreCase",
  m: "multiline",
  s: "dotAll",
  x: "verbose",
};
/** Every flag letter that Python knows: `u` says what holds anyway, `a`, `L` and `t` are refused. */
const FLAG_LETTERS = "iLmsxatu";

const IDENTIFIER = /^[\p{XID_Start}_]\p{XID_Continue}*$/u;

/**
 * Reads the start of a group, whose `(` was read just now.
 *
 * @param flags what holds outside of the group
 * @throws PatternError for syntax that Python refuses, and for lookaround, conditional groups, atomic groups
 * and backreferences by name
 */
export function parseGroupStart(reader: Reader, flags: Flags): GroupStart {
  const start = reader.position - 1;
  if (!reader.accept("?")) return { kind: "capture", name: null };
  const letter = reader.take();
  if (letter === null) throw reader.error("unexpected end of pattern");
  switch (letter) {
    case ":":
      return { kind: "plain", flags };
    case "P":
      return { kind: "capture", name: parseName(reader, start) };
    case "#":
      skipComment(reader, start);
      return { kind: "comment" };
    case "=":
    case "!":
      throw refuseLookaround(reader, "lookahead", `(?${letter}...)`, start);
    case "<":
      throw refuseLookbehind(reader, start);
    case "(":
      throw reader.refusal(
        "a conditional group (?(...)...)",
        start,
        "write both cases as alternatives: (?:first|second)",
      );
    case ">":
      throw reader.refusal(
        "an atomic group (?>...)",
        start,
        "write (?:...) instead: matching is linear without it",
      );
  }
  if (letter === "-" || FLAG_LETTERS.includes(letter)) return parseFlags(reader, letter, flags, start);
  throw reader.error(`unknown extension ?${letter}`, tokenLength(letter) + 1);
}

function parseName(reader: Reader, start: number): string {
  if (reader.accept("<")) {
    const name = reader.takeUntil(">", "group name");
    if (!IDENTIFIER.test(name))
      throw reader.error(`bad character in group name '${name}'`, tokenLength(name) + 1);
    return name;
  }
  if (reader.accept("=")) {
    const advice = "write out the alternatives it can repeat";
    throw reader.refusal("a backreference by name (?P=...)", start, advice);
  }
  const letter = reader.take();
  if (letter === null) throw reader.error("unexpected end of pattern");
  throw reader.error(`unknown extension ?P${letter}`, tokenLength(letter) + 2);
}

function skipComment(reader: Reader, start: number): void {
  while (true) {
    if (reader.next === null) throw reader.error("missing ), unterminated comment", reader.position - start);
    if (reader.take() === ")") return;
  }
}

function refuseLookbehind(reader: Reader, start: number): Error {
  const letter = reader.take();
  if (letter === null) return reader.error("unexpected end of pattern");
  if (letter !== "=" && letter !== "!")
    return reader.error(`unknown extension ?<${letter}`, tokenLength(letter) + 2);
  return refuseLookaround(reader, "lookbehind", `(?<${letter}...)`, start);
}

function refuseLookaround(reader: Reader, name: string, written: string, start: number): Error {
  const advice = "list the module names instead, or say in exclude_modules what must not match";
  return reader.refusal(`${name} ${written}`, start, advice);
}

/** Reads `i)`, `i:`, `i-s:` or `-s:` from `letter` on, with Python's errors. */
function parseFlags(reader: Reader, letter: string, flags: Flags, start: number): GroupStart {
  const on = new Set<string>();
  const off = new Set<string>();
  let end = letter;
  if (letter !== "-") end = collectFlags(reader, letter, on, { ends: ")-:", missing: "missing -, : or )" });
  for (const flag of ["a", "t"]) {
    const advice = "leave the flag out: names of modules are matched as Unicode text";
    if (on.has(flag)) throw reader.refusal(`the flag (?${flag})`, start, advice);
  }
  if (end === ")") return { kind: "global-flags", flags: withFlags(NO_FLAGS, on, true) };
  if (end === "-") {
    const first = reader.take();
    if (first === null) throw reader.error("missing flag");
    if (!FLAG_LETTERS.includes(first)) throw wrongFlag(reader, first, "missing flag");
    collectFlags(reader, first, off, { ends: ":", missing: "missing :" });
  }
  for (const flag of off) {
    if (on.has(flag)) throw reader.error("bad inline flags: flag turned on and off", 1);
  }
  return { kind: "plain", flags: withFlags(withFlags(flags, on, true), off, false) };
}

/** Reads letters into `found` up to one of `ends`, which is returned. */
function collectFlags(
  reader: Reader,
  first: string,
  found: Set<string>,
  { ends, missing }: { ends: string; missing: string },
): string {
  const turningOff = ends === ":";
  let letter = first;
  while (true) {
    if (turningOff && "aLu".includes(letter))
      throw reader.error("bad inline flags: cannot turn off flags 'a', 'u' and 'L'");
    if (letter === "L") throw reader.error("bad inline flags: cannot use 'L' flag with a str pattern");
    found.add(letter);
    if (found.has("a") && found.has("u"))
      throw reader.error("bad inline flags: flags 'a', 'u' and 'L' are incompatible");
    const next = reader.take();
    if (next === null) throw reader.error(missing);
    if (ends.includes(next)) return next;
    if (!FLAG_LETTERS.includes(next)) throw wrongFlag(reader, next, missing);
    letter = next;
  }
}

function wrongFlag(reader: Reader, letter: string, missing: string): Error {
  return reader.error(/^\p{L}$/u.test(letter) ? "unknown flag" : missing, tokenLength(letter));
}

function withFlags(flags: Flags, letters: ReadonlySet<string>, value: boolean): Flags {
  const changes = [...letters].flatMap((letter) => {
    const name = FLAG_NAMES[letter];
    return name ? [[name, value] as const] : [];
  });
  return { ...flags, ...Object.fromEntries(changes) };
}
