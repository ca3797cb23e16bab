import { caseOrbit, lowerCase } from "./case-folding.ts";

/** Code points from `low` to `high`, both included. */
export interface CodeRange {
  readonly low: number;
  readonly high: number;
}

/** One entry of a character class: a range or a category. */
export type ClassItem = CodeRange | { readonly category: (code: number) => boolean };

const DECIMAL = /^\p{Nd}$/u;
const ALPHANUMERIC = /^[\p{L}\p{N}_]$/u;
const SEPARATOR = /^\p{Z}$/u;

const inUnicode = (pattern: RegExp) => (code: number) => pattern.test(String.fromCodePoint(code));

/** `\d` of a Python `str` pattern: `str.isdecimal`, the Unicode category Nd. */
export const isDigit = inUnicode(DECIMAL);

/** `\w` of a Python `str` pattern: `str.isalnum` or an underscore; combining marks are no word characters. */
export const isWord = inUnicode(ALPHANUMERIC);

/** `\s` of a Python `str` pattern: `str.isspace`, which includes the separators U+001C to U+001F. */
export const isSpace = (code: number): boolean =>
  (code >= 0x09 && code <= 0x0d) || (code >= 0x1c && code <= 0x20) || code === 0x85 || isSeparator(code);

const isSeparator = inUnicode(SEPARATOR);

const ASCII = 128;

/** A set of code points that answers in time that does not depend on how it was written. */
export class CharacterSet {
  readonly #test: (code: number) => boolean;
  /** Answers for ASCII: -1 until asked for. */
  readonly #ascii = new Int8Array(ASCII).fill(-1);
  /** The last code point beyond ASCII that was asked for: many states ask the same at one place of a text. */
  #last = -1;
  #lastAnswer = false;

  constructor(test: (code: number) => boolean) {
    this.#test = test;
  }

  /** Whether the code point is in the set. */
  has(code: number): boolean {
    if (code >= ASCII) {
      if (code !== this.#last) {
        this.#lastAnswer = this.#test(code);
        this.#last = code;
      }
      return this.#lastAnswer;
    }
    let known = this.#ascii[code] as number;
    if (known < 0) {
      known = this.#test(code) ? 1 : 0;
      this.#ascii[code] = known;
    }
    return known === 1;
  }
}

/**
 * The set of a class such as `[^a-z\d]`. Ignoring case, a range also holds the characters that differ only in
 * case from one in it, and a category is asked about the lower-case character, as in Python.
 */
export function classSet(
  items: readonly ClassItem[],
  { negated = false, ignoreCase = false }: { negated?: boolean; ignoreCase?: boolean } = {},
): CharacterSet {
  const inRanges = rangeTest(items.flatMap((item) => ("low" in item ? [item] : [])));
  const categories = items.flatMap((item) => ("category" in item ? [item.category] : []));
  const inCategories = (code: number): boolean => categories.some((category) => category(code));
  if (!ignoreCase) return new CharacterSet((code) => (inRanges(code) || inCategories(code)) !== negated);
  return new CharacterSet(
    (code) => (caseOrbit(code).some(inRanges) || inCategories(lowerCase(code))) !== negated,
  );
}

/** Binary search over the ranges, sorted and with overlaps joined. */
function rangeTest(ranges: readonly CodeRange[]): (code: number) => boolean {
  const lows: number[] = [];
  const highs: number[] = [];
  for (const { low, high } of ranges.toSorted((a, b) => a.low - b.low)) {
    const last = highs.at(-1);
    if (last !== undefined && low <= last + 1) highs[highs.length - 1] = Math.max(last, high);
    else {
      lows.push(low);
      highs.push(high);
    }
  }
  return (code) => {
    let from = 0;
    let to = lows.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((highs[middle] as number) < code) from = middle + 1;
      else to = middle;
    }
    return from < lows.length && (lows[from] as number) <= code;
  };
}
