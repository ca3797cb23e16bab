import { quote } from "../../io/quote.ts";
import { PolargradError } from "../../tensor/errors.ts";

/**
 * Why a pattern cannot be used:
 *
 * - `syntax`: Python's `re` refuses it as well; `reason` is Python's text
 * - `unsupported`: Python takes it, but no matcher of linear time can; `construct` names what it is
 * - `too-large`: it expands to more states than the limit, or nests too deeply
 * - `no-such-group`: a group was asked for that the pattern does not have
 */
export type PatternErrorCode = "syntax" | "unsupported" | "too-large" | "no-such-group";

/** What a `PatternError` says. `position` counts code points from 0, as Python does. */
export interface PatternProblem {
  readonly code: PatternErrorCode;
  readonly pattern: string;
  readonly position: number;
  /** What is wrong, without the pattern and the position. */
  readonly reason: string;
  /** The refused construct, such as `lookahead`; `null` for a plain syntax error. */
  readonly construct?: string;
  /** What to do, as the end of a sentence. */
  readonly advice: string;
}

/** A regular expression that is wrong, too large, or uses a construct that is refused. */
export class PatternError extends PolargradError {
  override readonly name = "PatternError";
  readonly code: PatternErrorCode;
  readonly pattern: string;
  /** Where in the pattern, in code points from 0. */
  readonly position: number;
  /** What is wrong there: Python's own text for a syntax error. */
  readonly reason: string;
  /** The refused construct by name, or `null`. */
  readonly construct: string | null;

  constructor({ code, pattern, position, reason, construct, advice }: PatternProblem) {
    super(`pattern ${quote(pattern)}: ${printable(reason)} at position ${position}; ${advice}`);
    this.code = code;
    this.pattern = pattern;
    this.position = position;
    this.reason = reason;
    this.construct = construct ?? null;
  }
}

/** Parts of the pattern stand in `reason`: nothing in them may steer a terminal. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `\\u{${code.toString(16)}}`;
  });
}
