import { CharacterSet, type ClassItem, classSet } from "./characters.ts";
import { parseClass } from "./parse-class.ts";
import { parseEscape } from "./parse-escape.ts";
import { parseGroupStart } from "./parse-group.ts";
import { Reader, tokenLength } from "./reader.ts";
import { type Assertion, type Flags, type Node, NO_FLAGS, type Repetition, type Syntax } from "./syntax.ts";

const WHITESPACE = " \t\n\r\v\f";
const DECIMAL = "0123456789";
const LINE_FEED = 0x0a;
/** Python's MAXREPEAT. */
const TOO_MANY = 4294967295;
/** Groups in groups. The parser is recursive, so that there must be a limit. */
const MAX_NESTING = 200;

const SIMPLE_QUANTIFIERS: Readonly<Record<string, readonly [number, number]>> = {
  "?": [0, 1],
  "*": [0, Number.POSITIVE_INFINITY],
  "+": [1, Number.POSITIVE_INFINITY],
};

/**
 * Parses a pattern in the syntax of Python's `re`, step by step as CPython's `re/_parser.py` does, so that
 * the same patterns are errors, with the same text and position.
 *
 * @throws PatternError for wrong syntax and for constructs that are refused
 */
export function parsePattern(pattern: string): Syntax {
  return new Parser(pattern).parse();
}

class Parser {
  readonly #reader: Reader;
  readonly #names = new Map<string, number>();
  readonly #open = new Set<number>();
  #groups = 0;
  /** The flags of `(?i)` at the start. */
  #flags = NO_FLAGS;

  constructor(pattern: string) {
    this.#reader = new Reader(pattern);
  }

  parse(): Syntax {
    const root = this.#parseChoice(NO_FLAGS, 0);
    if (this.#reader.next !== null) throw this.#reader.error("unbalanced parenthesis");
    return { root, groups: this.#groups, names: this.#names };
  }

  /** `a|b|c`. The result is never a bare repetition: a group may be quantified again. */
  #parseChoice(flags: Flags, nesting: number): Node {
    if (nesting > MAX_NESTING) throw this.#reader.tooDeep(MAX_NESTING);
    const options: Node[] = [];
    do {
      const isFirst = nesting === 0 && options.length === 0;
      options.push(this.#parseSequence(nesting === 0 ? this.#flags : flags, nesting, isFirst));
    } while (this.#reader.accept("|"));
    return options.length === 1 ? (options[0] as Node) : { kind: "choice", options };
  }

  #parseSequence(outerFlags: Flags, nesting: number, isFirst: boolean): Node {
    const items: Node[] = [];
    let flags = outerFlags;
    while (true) {
      const token = this.#reader.next;
      if (token === null || token === "|" || token === ")") return { kind: "sequence", items };
      this.#reader.take();
      if (flags.verbose && this.#skipsVerbose(token)) continue;
      if (token === "(") {
        const group = this.#parseGroup(flags, nesting, isFirst && items.length === 0);
        if (group) items.push(group);
        else if (isFirst) flags = this.#flags;
      } else if (token in SIMPLE_QUANTIFIERS || token === "{") {
        const repetition = this.#parseRepetition(token, items.at(-1));
        if (repetition) items[items.length - 1] = repetition;
        else items.push(literal("{", flags));
      } else {
        items.push(this.#parseAtom(token, flags));
      }
    }
  }

  /** White space and comments, which (?x) leaves out. */
  #skipsVerbose(token: string): boolean {
    if (WHITESPACE.includes(token)) return true;
    if (token !== "#") return false;
    let skipped: string | null;
    do skipped = this.#reader.take();
    while (skipped !== null && skipped !== "\n");
    return true;
  }

  #parseAtom(token: string, flags: Flags): Node {
    if (token === "[") return { kind: "set", set: parseClass(this.#reader, flags) };
    if (token === "^") return assertion(flags.multiline ? "line-start" : "text-start");
    if (token === "$") return assertion(flags.multiline ? "line-end" : "last-line-end");
    if (token === ".")
      return { kind: "set", set: new CharacterSet((code) => flags.dotAll || code !== LINE_FEED) };
    if (!token.startsWith("\\")) return literal(token, flags);
    const groups = { opened: this.#groups, isOpen: (group: number) => this.#open.has(group) };
    const escaped = parseEscape(this.#reader, token, groups);
    if (escaped.kind === "assertion") return escaped;
    if (escaped.kind === "literal") return literal(String.fromCodePoint(escaped.code), flags);
    return setOf(escaped, flags);
  }

  /** A quantifier behind `item`; `null` for a `{` that is none. */
  #parseRepetition(token: string, item: Node | undefined): Repetition | null {
    const reader = this.#reader;
    const position = reader.position - 1;
    const counts = SIMPLE_QUANTIFIERS[token] ?? this.#parseCounts(position);
    if (!counts) return null;
    const back = reader.position - position;
    if (!item || item.kind === "assertion") throw reader.error("nothing to repeat", back);
    if (item.kind === "repetition") throw reader.error("multiple repeat", back);
    const greedy = !reader.accept("?");
    if (greedy && reader.accept("+"))
      throw reader.refusal(
        "a possessive quantifier",
        position,
        "leave the last + out: matching is linear without it",
      );
    const [min, max] = counts;
    const text = reader.textFrom(position);
    return { kind: "repetition", body: item, min, max, greedy, text, position };
  }

  /** `{m}`, `{m,}`, `{,n}` or `{m,n}` behind its `{`; anything else is `null`, and nothing is read then. */
  #parseCounts(position: number): readonly [number, number] | null {
    const reader = this.#reader;
    if (reader.next === "}") return null;
    const low = reader.takeWhile(DECIMAL);
    const high = reader.accept(",") ? reader.takeWhile(DECIMAL) : low;
    if (!reader.accept("}")) {
      reader.seek(position + 1);
      return null;
    }
    const min = Number(low);
    const max = high === "" ? Number.POSITIVE_INFINITY : Number(high);
    const back = reader.position - position;
    if (min >= TOO_MANY || (high !== "" && max >= TOO_MANY))
      throw reader.error("the repetition number is too large", back);
    if (max < min) throw reader.error("min repeat greater than max repeat", back - 1);
    return [min, max];
  }

  /** A group behind its `(`; `null` for flags and comments, which match nothing. */
  #parseGroup(flags: Flags, nesting: number, mayHoldFlags: boolean): Node | null {
    const reader = this.#reader;
    const position = reader.position - 1;
    const start = parseGroupStart(reader, flags);
    if (start.kind === "comment") return null;
    if (start.kind === "global-flags") {
      if (!mayHoldFlags)
        throw reader.error("global flags not at the start of the expression", reader.position - position);
      this.#flags = mergeFlags(this.#flags, start.flags);
      return null;
    }
    const group = start.kind === "capture" ? this.#openGroup(start.name) : null;
    const body = this.#parseChoice(start.kind === "plain" ? start.flags : flags, nesting + 1);
    if (!reader.accept(")"))
      throw reader.error("missing ), unterminated subpattern", reader.position - position);
    if (group === null) return body;
    this.#open.delete(group);
    return { kind: "capture", group, body };
  }

  #openGroup(name: string | null): number {
    const group = ++this.#groups;
    if (name !== null) {
      const earlier = this.#names.get(name);
      if (earlier !== undefined) {
        const reason = `redefinition of group name '${name}' as group ${group}; was group ${earlier}`;
        throw this.#reader.error(reason, tokenLength(name) + 1);
      }
      this.#names.set(name, group);
    }
    this.#open.add(group);
    return group;
  }
}

const assertion = (kind: Assertion): Node => ({ kind: "assertion", assertion: kind });

function setOf(item: ClassItem, { ignoreCase }: Flags): Node {
  return { kind: "set", set: classSet([item], { ignoreCase }) };
}

function literal(character: string, flags: Flags): Node {
  const code = character.codePointAt(0) ?? 0;
  return setOf({ low: code, high: code }, flags);
}

function mergeFlags(one: Flags, other: Flags): Flags {
  return {
    ignoreCase: one.ignoreCase || other.ignoreCase,
    multiline: one.multiline || other.multiline,
    dotAll: one.dotAll || other.dotAll,
    verbose: one.verbose || other.verbose,
  };
}
