import { PolargradError } from "../tensor/errors.ts";
import { readText } from "./files.ts";
import { quote, quoteValue } from "./quote.ts";

/** One example of a data set: a whole text file, one text, or a prompt whose completion is to be learned. */
export type TextRow =
  | { readonly kind: "document"; readonly text: string }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "completion"; readonly prompt: string; readonly completion: string };

/** A data set that cannot be read or used. `line` counts from 1. */
export class DatasetError extends PolargradError {
  override readonly name = "DatasetError";
  readonly file: string | undefined;
  readonly line: number | undefined;

  constructor(why: string, file?: string, line?: number) {
    super(
      file === undefined ? why : line === undefined ? `${file}: ${why}` : `${file}, line ${line}: ${why}`,
    );
    this.file = file;
    this.line = line;
  }
}

const FORMS = '{"text": …}, {"prompt": …, "completion": …} or {"question": …, "answer": …}';

/**
 * Read a data set, by the file's extension:
 * - `.txt`: the whole text is one document;
 * - `.jsonl`: one object a line, `{text}`, `{prompt, completion}` or `{question, answer}`. A question gets a
 *   line break as its separator from the answer; a prompt is used as it is. Other fields are ignored, blank
 *   lines allowed.
 *
 * @throws DatasetError with file and line for an unknown extension, an empty file or a bad row; FileError
 */
export async function readDataset(path: string): Promise<TextRow[]> {
  const extension = /\.[^./\\]*$/.exec(path)?.[0].toLowerCase() ?? "";
  if (extension !== ".txt" && extension !== ".jsonl") {
    throw new DatasetError(`expected a data set ending in .txt or .jsonl, got ${quote(extension)}`, path);
  }
  const text = await readText(path, "a data set");
  if (text.trim() === "") throw new DatasetError("the data set is empty", path);
  return extension === ".txt" ? [{ kind: "document", text }] : parseJsonLines(text, path);
}

function parseJsonLines(text: string, path: string): TextRow[] {
  const rows: TextRow[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    const at = index + 1;
    rows.push(parseRow(parseLine(line, path, at), path, at));
  }
  return rows;
}

function parseLine(text: string, path: string, line: number): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new DatasetError(`expected one JSON object a line, got ${quote(text.trim())}`, path, line);
  }
}

function parseRow(row: unknown, path: string, line: number): TextRow {
  if (typeof row !== "object" || row === null || Array.isArray(row)) {
    throw new DatasetError(`expected ${FORMS}, got ${quoteValue(row)}`, path, line);
  }
  const has = (field: string): boolean => Object.hasOwn(row, field);
  const field = (name: string): string => {
    const value: unknown = has(name) ? (row as Record<string, unknown>)[name] : undefined;
    if (typeof value === "string" && value !== "") return value;
    throw new DatasetError(
      `${quote(name)} must be a text that is not empty, got ${quoteValue(value)}`,
      path,
      line,
    );
  };
  if (has("text")) return { kind: "text", text: field("text") };
  if (has("prompt")) return { kind: "completion", prompt: field("prompt"), completion: field("completion") };
  if (has("question")) {
    return { kind: "completion", prompt: `${field("question")}\n`, completion: field("answer") };
  }
  const found = Object.keys(row).slice(0, 5).map(quote).join(", ") || "none";
  throw new DatasetError(`expected ${FORMS}, got an object with the fields ${found}`, path, line);
}

/**
 * Split rows into training and held-out ones: `valSetSize` rows, drawn by `seed`, are held out. Both keep
 * their order. The same rows, size and seed give the same split everywhere.
 *
 * @throws DatasetError if `valSetSize` is no count, or leaves nothing to train on
 */
export function splitRows<Row>(
  rows: readonly Row[],
  valSetSize: number,
  seed: number,
): { train: Row[]; val: Row[] } {
  if (!Number.isSafeInteger(valSetSize) || valSetSize < 0) {
    throw new DatasetError(`the held-out set must have a whole number of rows, 0 or more, got ${valSetSize}`);
  }
  if (valSetSize >= rows.length) {
    const advice = rows.length === 0 ? "" : `; hold out ${rows.length - 1} or fewer`;
    throw new DatasetError(
      `cannot hold out ${valSetSize} of ${rows.length} rows and train on the rest${advice}`,
    );
  }
  const order = rows.map((_, index) => index);
  const random = splitMix32(seed);
  for (let i = 0; i < valSetSize; i++) {
    const j = i + Math.floor((random() / 2 ** 32) * (order.length - i));
    [order[i], order[j]] = [order[j], order[i]];
  }
  const held = new Set(order.slice(0, valSetSize));
  const train: Row[] = [];
  const val: Row[] = [];
  for (const [index, row] of rows.entries()) (held.has(index) ? val : train).push(row);
  return { train, val };
}

/** SplitMix32: a stream of 32-bit integers from a seed (Steele, Lea and Flood 2014, in 32 bits). */
function splitMix32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
}
