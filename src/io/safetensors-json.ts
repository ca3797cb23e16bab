import { quote } from "./quote.ts";
import { SafetensorsError, type SafetensorsErrorCode } from "./safetensors-error.ts";

/** Nesting that the reference's JSON parser (serde_json) still accepts. */
const MAX_DEPTH = 127;
const MAX_U64 = 18446744073709551615n;

/** What a string may hold unescaped: all but controls below U+0020, the quote and the backslash. */
const PLAIN = /[ !#-[\]-\u{10ffff}]*/uy;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const HEX4 = /[0-9a-fA-F]{4}/y;
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["/", "/"],
  ["b", "\b"],
  ["f", "\f"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);

/**
 * A pull reader of strict JSON for safetensors headers. It builds no objects, keeps integers of 64 bits exact,
 * and accepts the JSON text that serde_json accepts. Every error is a `SafetensorsError`.
 */
export class JsonReader {
  readonly text: string;
  /** Name of the tensor whose entry is being read, for errors. */
  tensor: string | undefined;
  #at = 0;

  constructor(text: string) {
    this.text = text;
  }

  /** Stop with `code`; the message says where in the header. */
  fail(code: SafetensorsErrorCode, why: string): never {
    const { tensor } = this;
    const entry = tensor === undefined ? "" : `, in the entry of tensor ${quote(tensor)}`;
    throw new SafetensorsError(code, `${why} (at character ${this.#at} of the header${entry})`, { tensor });
  }

  /** The next character after white space, not consumed; the empty string at the end. */
  peek(): string {
    for (;;) {
      const c = this.text.charAt(this.#at);
      if (c !== " " && c !== "\n" && c !== "\r" && c !== "\t") return c;
      this.#at++;
    }
  }

  /** Consume `c` if it is next. */
  take(c: string): boolean {
    if (this.peek() !== c) return false;
    this.#at++;
    return true;
  }

  /** Consume `c`, or stop: `header-type` if another kind of value stands there, else `header-not-json`. */
  expect(c: string, what: string): void {
    if (this.take(c)) return;
    const found = this.peek();
    const isValue = (c === "{" || c === "[" || c === '"') && /["{[\-0-9tfn]/.test(found);
    this.fail(isValue ? "header-type" : "header-not-json", `expected ${what}, got ${show(found)}`);
  }

  /** Stop unless nothing but white space is left. */
  end(): void {
    const found = this.peek();
    if (found !== "") this.fail("header-not-json", `expected the end of the header, got ${show(found)}`);
  }

  /** Call `onKey` for every key of an object; it must consume the value. */
  object(what: string, onKey: (key: string) => void): void {
    this.expect("{", what);
    if (this.take("}")) return;
    do {
      if (this.peek() !== '"') this.fail("header-not-json", `expected a key, got ${show(this.peek())}`);
      const key = this.string("a key");
      this.expect(":", '":"');
      onKey(key);
    } while (this.take(","));
    this.expect("}", '"," or "}"');
  }

  /** Call `onItem` for every item of an array; it must consume the item. */
  array(what: string, onItem: () => void): void {
    this.expect("[", what);
    if (this.take("]")) return;
    do onItem();
    while (this.take(","));
    this.expect("]", '"," or "]"');
  }

  /** A string without lone surrogates. */
  string(what: string): string {
    this.expect('"', what);
    let value = this.#match(PLAIN);
    for (;;) {
      const c = this.text.charAt(this.#at);
      if (c === "") this.fail("header-not-json", "the header ends inside a string");
      if (c !== '"' && c !== "\\") this.fail("header-not-json", "a control character inside a string");
      this.#at++;
      if (c === '"') return value;
      value += this.#escape() + this.#match(PLAIN);
    }
  }

  /** An integer from 0 to 2⁶⁴ - 1, written without sign, fraction or exponent. */
  unsigned(what: string): bigint {
    const text = this.#number(what);
    if (!/^[0-9]{1,20}$/.test(text)) this.fail("header-type", `expected ${what}, got ${text.slice(0, 30)}`);
    const value = BigInt(text);
    if (value > MAX_U64) this.fail("header-type", `expected ${what}, got ${text}, more than 64 bits hold`);
    return value;
  }

  /** Consume `null` if it is next. */
  takeNull(): boolean {
    if (this.peek() !== "n") return false;
    this.#word("null");
    return true;
  }

  /** Check and skip any value. `depth` counts the objects and arrays that are open around it. */
  skip(depth: number): void {
    const c = this.peek();
    if (c === "{" || c === "[") {
      if (depth >= MAX_DEPTH) this.fail("header-too-deep", `nested deeper than ${MAX_DEPTH} levels`);
      if (c === "{") this.object("an object", () => this.skip(depth + 1));
      else this.array("an array", () => this.skip(depth + 1));
    } else if (c === '"') this.string("a string");
    else if (c === "t") this.#word("true");
    else if (c === "f") this.#word("false");
    else if (c === "n") this.#word("null");
    else {
      const value = Number(this.#number("a value"));
      if (Math.abs(value) >= Number.MAX_VALUE) this.fail("header-not-json", "a number is out of range");
    }
  }

  #word(word: string): void {
    if (!this.text.startsWith(word, this.#at)) this.fail("header-not-json", `expected ${word}`);
    this.#at += word.length;
  }

  #number(what: string): string {
    const found = this.peek();
    const text = this.#match(NUMBER);
    if (text === "") {
      const code = /["{[tfn]/.test(found) ? "header-type" : "header-not-json";
      this.fail(code, `expected ${what}, got ${show(found)}`);
    }
    if (/[0-9.eE+-]/.test(this.text.charAt(this.#at))) {
      this.fail("header-not-json", "a number is not valid JSON");
    }
    return text;
  }

  #escape(): string {
    const c = this.text.charAt(this.#at++);
    if (c !== "u") return ESCAPES.get(c) ?? this.fail("header-not-json", "an unknown escape in a string");
    const unit = this.#hex();
    if (unit < 0xd800 || unit > 0xdfff) return String.fromCharCode(unit);
    const isPair = unit < 0xdc00 && this.text.startsWith("\\u", this.#at);
    if (isPair) this.#at += 2;
    const low = isPair ? this.#hex() : 0;
    if (low < 0xdc00 || low > 0xdfff) this.fail("header-not-json", "half of a surrogate pair in a string");
    return String.fromCharCode(unit, low);
  }

  #hex(): number {
    const digits = this.#match(HEX4);
    if (digits === "") this.fail("header-not-json", "a \\u escape needs four hexadecimal digits");
    return Number.parseInt(digits, 16);
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }
}

function show(c: string): string {
  return c === "" ? "the end of the header" : JSON.stringify(c);
}
