import { PatternError } from "./errors.ts";

/**
 * Reads a pattern one token at a time: a character, or a backslash with the character after it. Positions
 * count code points. The same steps as Python's `re._parser.Tokenizer`, so that errors have its positions.
 */
export class Reader {
  readonly pattern: string;
  readonly #characters: readonly string[];
  #index = 0;
  #next: string | null = null;

  constructor(pattern: string) {
    this.pattern = pattern;
    this.#characters = Array.from(pattern);
    this.#advance();
  }

  /** The token that `take` would return; `null` at the end. */
  get next(): string | null {
    return this.#next;
  }

  /** Where `next` begins. */
  get position(): number {
    return this.#index - tokenLength(this.#next);
  }

  /** Returns the next token and moves behind it. */
  take(): string | null {
    const token = this.#next;
    this.#advance();
    return token;
  }

  /** Whether the next token is `token`; if so, moves behind it. */
  accept(token: string): boolean {
    if (this.#next !== token) return false;
    this.#advance();
    return true;
  }

  /** The longest run of at most `count` tokens that are each in `allowed`. */
  takeWhile(allowed: string, count = Number.POSITIVE_INFINITY): string {
    let run = "";
    while (run.length < count && this.#next !== null && allowed.includes(this.#next)) run += this.take();
    return run;
  }

  /** What stands before `terminator`, which is read too. `name` says what is missing when nothing does. */
  takeUntil(terminator: string, name: string): string {
    let text = "";
    while (true) {
      const token = this.take();
      if (token === null) {
        if (text === "") throw this.error(`missing ${name}`);
        throw this.error(`missing ${terminator}, unterminated name`, tokenLength(text));
      }
      if (token === terminator) {
        if (text === "") throw this.error(`missing ${name}`, 1);
        return text;
      }
      text += token;
    }
  }

  /** The pattern from `start` to the next token. */
  textFrom(start: number): string {
    return this.#characters.slice(start, this.position).join("");
  }

  /** Moves to `position`. */
  seek(position: number): void {
    this.#index = position;
    this.#advance();
  }

  /** A syntax error `back` code points before the next token, with Python's text. */
  error(reason: string, back = 0): PatternError {
    return this.#problem(reason, this.position - back);
  }

  /** A refusal of `construct`, which Python has and a matcher of linear time cannot have. */
  refusal(construct: string, position: number, advice: string): PatternError {
    const reason = `${construct} is not supported`;
    const { pattern } = this;
    return new PatternError({ code: "unsupported", pattern, position, reason, construct, advice });
  }

  /** A refusal of nesting beyond what the parser holds. */
  tooDeep(limit: number): PatternError {
    const reason = `groups are nested more than ${limit} deep`;
    const construct = "deep nesting";
    const advice = "write the pattern with fewer groups";
    const { pattern, position } = this;
    return new PatternError({ code: "too-large", pattern, position, reason, construct, advice });
  }

  #advance(): void {
    const character = this.#characters[this.#index];
    if (character === undefined) {
      this.#next = null;
      return;
    }
    let token = character;
    if (character === "\\") {
      const escaped = this.#characters[this.#index + 1];
      if (escaped === undefined) throw this.#problem("bad escape (end of pattern)", this.#index);
      token += escaped;
    }
    this.#index += tokenLength(token);
    this.#next = token;
  }

  #problem(reason: string, position: number): PatternError {
    const advice = "correct the pattern (in the syntax of Python's re), or list the module names instead";
    return new PatternError({ code: "syntax", pattern: this.pattern, position, reason, advice });
  }
}

/** The length of a text in code points. */
export function tokenLength(text: string | null): number {
  return text === null ? 0 : Array.from(text).length;
}
