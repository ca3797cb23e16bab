import { CharacterSet, isWord } from "./characters.ts";
import type { Assertion } from "./syntax.ts";

const LINE_FEED = 0x0a;
const WORD = new CharacterSet(isWord);

/** Whether an assertion holds before character `position` of a text of code points. */
export function holds(assertion: Assertion, text: Int32Array, position: number): boolean {
  const end = text.length;
  switch (assertion) {
    case "text-start":
      return position === 0;
    case "line-start":
      return position === 0 || text[position - 1] === LINE_FEED;
    case "text-end":
      return position === end;
    case "line-end":
      return position === end || text[position] === LINE_FEED;
    case "last-line-end":
      return position === end || (position === end - 1 && text[position] === LINE_FEED);
    case "word-boundary":
      return isWordAt(text, position - 1) !== isWordAt(text, position);
    case "no-word-boundary":
      // In an empty text neither \b nor \B holds, up to Python 3.13.
      return end > 0 && isWordAt(text, position - 1) === isWordAt(text, position);
  }
}

function isWordAt(text: Int32Array, position: number): boolean {
  return position >= 0 && position < text.length && WORD.has(text[position]);
}
