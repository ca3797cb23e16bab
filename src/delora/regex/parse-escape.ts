import { isDigit, isSpace, isWord } from "./characters.ts";
import type { Reader } from "./reader.ts";
import type { Assertion } from "./syntax.ts";

/** What a character or an escape sequence of a character class stands for. */
export type ClassMember =
  | { readonly kind: "literal"; readonly code: number }
  | { readonly kind: "category"; readonly category: (code: number) => boolean };

/** What an escape sequence outside of a class stands for. */
export type Escape = ClassMember | { readonly kind: "assertion"; readonly assertion: Assertion };

const OCTAL = "01234567";
const DECIMAL = "0123456789";
const HEXADECIMAL = "0123456789abcdefABCDEF";
const LAST_OCTAL = 0o377;
const LAST_CODE_POINT = 0x10ffff;

const CONTROLS: Readonly<Record<string, string>> = {
  "\\a": "\x07",
  "\\f": "\f",
  "\\n": "\n",
  "\\r": "\r",
  "\\t": "\t",
  "\\v": "\v",
  "\\\\": "\\",
};

const CATEGORIES: Readonly<Record<string, ((code: number) => boolean) | undefined>> = {
  "\\d": isDigit,
  "\\D": (code) => !isDigit(code),
  "\\s": isSpace,
  "\\S": (code) => !isSpace(code),
  "\\w": isWord,
  "\\W": (code) => !isWord(code),
};

const ASSERTIONS: Readonly<Record<string, Assertion>> = {
  "\\A": "text-start",
  "\\b": "word-boundary",
  "\\B": "no-word-boundary",
  "\\Z": "text-end",
};

const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

const literal = (character: string): ClassMember => ({
  kind: "literal",
  code: character.codePointAt(0) ?? 0,
});

/** The groups of the pattern so far, to tell a backreference from an error. */
export interface GroupsSoFar {
  /** The number of groups whose parenthesis was opened. */
  readonly opened: number;
  /** Whether this group is not closed yet. */
  isOpen(group: number): boolean;
}

/**
 * The escape that starts with `token`, a backslash and a character that were read just now, outside of a
 * character class.
 *
 * @throws PatternError for an unknown escape, a backreference or `\N{...}`
 */
export function parseEscape(reader: Reader, token: string, groups: GroupsSoFar): Escape {
  const assertion = ASSERTIONS[token];
  if (assertion) return { kind: "assertion", assertion };
  const letter = token.slice(1);
  if (letter === "0") return { kind: "literal", code: parseInt(`0${reader.takeWhile(OCTAL, 2)}`, 8) };
  if (DECIMAL.includes(letter)) return parseNumber(reader, token, groups);
  return parseCommon(reader, token);
}

/**
 * The escape that starts with `token` inside a character class, where `\b` is a backspace and digits are
 * octal.
 *
 * @throws PatternError for an unknown escape or `\N{...}`
 */
export function parseClassEscape(reader: Reader, token: string): ClassMember {
  if (token === "\\b") return literal("\b");
  const letter = token.slice(1);
  if (OCTAL.includes(letter)) return octal(reader, token + reader.takeWhile(OCTAL, 2));
  return parseCommon(reader, token);
}

function parseCommon(reader: Reader, token: string): ClassMember {
  const control = CONTROLS[token];
  if (control !== undefined) return literal(control);
  const category = CATEGORIES[token];
  if (category !== undefined) return { kind: "category", category };
  const letter = token.slice(1);
  const digits = HEX_DIGITS[letter];
  if (digits !== undefined) return parseHexadecimal(reader, token, digits);
  if (letter === "N")
    throw reader.refusal(
      "a character by name (\\N{...})",
      reader.position - 2,
      "write the character itself or its number as \\uXXXX",
    );
  if (/^[a-zA-Z0-9]$/.test(letter)) throw reader.error(`bad escape ${token}`, 2);
  return literal(letter);
}

function parseHexadecimal(reader: Reader, token: string, digits: number): ClassMember {
  const written = token + reader.takeWhile(HEXADECIMAL, digits);
  if (written.length !== digits + 2) throw reader.error(`incomplete escape ${written}`, written.length);
  const code = parseInt(written.slice(2), 16);
  if (code > LAST_CODE_POINT) throw reader.error(`bad escape ${written}`, written.length);
  return { kind: "literal", code };
}

function octal(reader: Reader, written: string): ClassMember {
  const code = parseInt(written.slice(1), 8);
  if (code > LAST_OCTAL)
    throw reader.error(`octal escape value ${written} outside of range 0-0o377`, written.length);
  return { kind: "literal", code };
}

/** Three octal digits are a character; any other number refers to a group. */
function parseNumber(reader: Reader, token: string, groups: GroupsSoFar): Escape {
  let written = token + reader.takeWhile(DECIMAL, 1);
  if (/^\\[0-7]{2}$/.test(written)) {
    const third = reader.takeWhile(OCTAL, 1);
    written += third;
    if (third) return octal(reader, written);
  }
  const group = Number(written.slice(1));
  if (group > groups.opened) throw reader.error(`invalid group reference ${group}`, written.length - 1);
  if (groups.isOpen(group)) throw reader.error("cannot refer to an open group", written.length);
  throw reader.refusal(
    `backreference ${written}`,
    reader.position - written.length,
    "write out the alternatives it can repeat",
  );
}
