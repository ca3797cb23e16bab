import type { DType } from "./dtype.ts";

/** Dtype rule of an operand: one float dtype shared by all `float` (unmarked) operands, a fixed dtype, or `any` (shared, copied as bits). */
export type DTypeRule = "float" | "any" | Extract<DType, "i32" | "bool">;

/** One axis of an operand: `*` (broadcast batch axes), `d`, `4`, `g*m` or `c+t`. */
export type DimExpr =
  | { readonly kind: "batch" }
  | { readonly kind: "plain"; readonly term: Term }
  | { readonly kind: "product" | "sum"; readonly left: Term; readonly right: Term; readonly text: string };

/** A dimension's name or a literal size. */
export type Term = string | number;

/** One input or the output. `shape: null` stands for `[...]`: any shape, the op computes what it needs. */
export interface Operand {
  readonly name: string;
  readonly dims: readonly DimExpr[] | null;
  readonly dtype: DTypeRule;
  /** Takes stored formats too, which kernels then see decoded to f32. */
  readonly stored: boolean;
}

/** A parsed shape law such as `x[*, d], weight[d] -> y[*, d]`. */
export interface Signature {
  readonly text: string;
  readonly inputs: readonly Operand[];
  readonly output: Operand;
  /** Names of the dimensions in order of appearance in the inputs. */
  readonly dimNames: readonly string[];
}

type Trim<S extends string> = S extends ` ${infer R}` ? Trim<R> : S;
type NameList<I extends string> = I extends `${infer N}[${string}]${infer Rest}`
  ? [Trim<N>, ...(Rest extends `${string}, ${infer R}` ? NameList<R> : [])]
  : [];
type Terms<D extends string> = D extends `${infer A}*${infer B}`
  ? Terms<A> | Terms<B>
  : D extends `${infer A}+${infer B}`
    ? Terms<A> | Terms<B>
    : Trim<D> extends "" | "*" | "..." | `${number}`
      ? never
      : Trim<D>;
type DimList<D extends string> = D extends `${infer H},${infer R}` ? Terms<H> | DimList<R> : Terms<D>;
type DimsIn<I extends string> = I extends `${string}[${infer D}]${infer Rest}` ? DimList<D> | DimsIn<Rest> : never;

/** The input names of a signature text, in order, as a tuple type. */
export type InputList<S extends string> = S extends `${infer I} -> ${string}` ? NameList<I> : never;
/** The input names of a signature text as a union. */
export type InputNames<S extends string> = InputList<S>[number];
/** The dimension names of a signature text as a union. */
export type DimNames<S extends string> = S extends `${infer I} -> ${string}` ? DimsIn<I> : never;

const OPERAND = /^\s*(\w+)\[([^\]]*)\](?::(\w+)(\|stored)?)?\s*$/;

/** Parse `x[*, d], ids[b]:i32, weight[d]:float|stored -> y[*, d]`. Throws SyntaxError on a malformed text: a mistake in a declaration. */
export function parseSignature(text: string): Signature {
  const [left, right, ...rest] = text.split("->");
  if (left === undefined || right === undefined || rest.length > 0) throw new SyntaxError(`signature "${text}": needs one "->"`);
  const inputs = left.split(/,(?![^[]*\])/).map((part) => parseOperand(part, text));
  const output = parseOperand(right, text);
  const packed = inputs.filter(({ stored }) => stored);
  const broadcasts = inputs.length > 1 && packed.some(({ dims }) => dims?.some(({ kind }) => kind === "batch"));
  if (packed.length > 1 || broadcasts || output.stored) throw new SyntaxError(`signature "${text}": one input can be |stored, without * beside others`);
  const dimNames = [...new Set(inputs.flatMap((operand) => (operand.dims ?? []).flatMap(namesOf)))];
  const unknown = (output.dims ?? []).flatMap(namesOf).find((name) => !dimNames.includes(name));
  if (unknown !== undefined) throw new SyntaxError(`signature "${text}": the output's ${unknown} is in no input`);
  const reserved = dimNames.find((name) => name === "n" || name === "count");
  if (reserved) throw new SyntaxError(`signature "${text}": "${reserved}" is taken (n: size of the * axes, count: size of the output); rename that dimension`);
  return { text, inputs, output, dimNames };
}

/** The dimension names that an axis mentions. */
export function namesOf(dim: DimExpr): string[] {
  if (dim.kind === "batch") return [];
  const terms = dim.kind === "plain" ? [dim.term] : [dim.left, dim.right];
  return terms.filter((term) => typeof term === "string");
}

function parseOperand(part: string, text: string): Operand {
  const match = OPERAND.exec(part);
  if (!match) throw new SyntaxError(`signature "${text}": cannot read "${part.trim()}"`);
  const [, name, inside, mark, stored] = match;
  const dtype = parseRule(mark, text);
  if (stored && dtype !== "float" && dtype !== "any") throw new SyntaxError(`signature "${text}": ${dtype} cannot be |stored`);
  return { name, dims: inside.trim() === "..." ? null : parseDims(inside), dtype, stored: stored !== undefined };
}

function parseRule(mark: string | undefined, text: string): DTypeRule {
  if (mark === undefined || mark === "float") return "float";
  if (mark === "i32" || mark === "bool" || mark === "any") return mark;
  throw new SyntaxError(`signature "${text}": unknown dtype mark "${mark}"`);
}

function parseDims(inside: string): DimExpr[] {
  if (inside.trim() === "") return [];
  return inside.split(",").map((raw): DimExpr => {
    const dim = raw.trim();
    if (dim === "*") return { kind: "batch" };
    for (const [sign, kind] of [["*", "product"], ["+", "sum"]] as const) {
      const at = dim.indexOf(sign);
      if (at > 0) return { kind, left: term(dim.slice(0, at)), right: term(dim.slice(at + 1)), text: dim };
    }
    return { kind: "plain", term: term(dim) };
  });
}

const term = (text: string): Term => (/^\d+$/.test(text.trim()) ? Number(text) : text.trim());
