import { DatasetError, type TextRow } from "./dataset.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Label of a position that is not learned; PyTorch's `ignore_index`. */
export const IGNORE_LABEL = -100;

/** A row as token ids. Labels stand beside their own token: the model shifts them. */
export interface EncodedRow {
  readonly inputIds: number[];
  readonly labels: number[];
}

/** How rows become token ids. */
export interface EncodeOptions {
  /** The most tokens of a sequence; the exact number for documents. */
  readonly cutoffLen: number;
  /**
   * Called once if rows are left out because their prompt alone fills `cutoffLen`; prints a warning by
   * default.
   */
  readonly warn?: (message: string) => void;
}

/** What `encodeRows` needs of a tokenizer. */
export type RowTokenizer = Pick<Tokenizer, "encode" | "eosTokenId">;

/**
 * Token ids and labels of rows:
 * - a document is tokenized once and cut into consecutive sequences of exactly `cutoffLen` tokens; the rest
 *   is left out;
 * - a text becomes BOS + text + EOS, all of it learned;
 * - prompt and completion are tokenized as one text, so that the tokens are those of a later `generate`;
 *   tokens of the prompt get the label -100, the completion and its EOS are learned. A row whose prompt
 *   leaves nothing to learn is left out, and the number of such rows is reported.
 *
 * Texts and completions are cut after `cutoffLen` tokens. BOS is there if the tokenizer adds it; EOS is
 * always added where the tokenizer has one, so that a model learns to stop (PEFT's example never learns it).
 *
 * @throws DatasetError for a document shorter than one sequence, or if no row has anything to learn
 */
export function encodeRows(
  rows: readonly TextRow[],
  tokenizer: RowTokenizer,
  options: EncodeOptions,
): EncodedRow[] {
  const { cutoffLen, warn = console.warn } = options;
  if (!Number.isSafeInteger(cutoffLen) || cutoffLen < 2) {
    throw new DatasetError(`cutoffLen must be a whole number, 2 or more, got ${cutoffLen}`);
  }
  const encoded = rows.flatMap((row) => encodeRow(row, tokenizer, cutoffLen));
  const learned = encoded.filter(({ labels }) => labels.some((label, i) => i > 0 && label !== IGNORE_LABEL));
  const skipped = encoded.length - learned.length;
  const why = `the prompt leaves nothing to learn within cutoffLen (${cutoffLen} tokens)`;
  if (learned.length === 0) {
    if (rows.length === 0) throw new DatasetError("there are no rows to encode");
    throw new DatasetError(`in every row ${why}; raise cutoffLen`);
  }
  if (skipped > 0) warn(`left out ${skipped} of ${encoded.length} rows: ${why}`);
  return learned;
}

function encodeRow(row: TextRow, tokenizer: RowTokenizer, cutoffLen: number): EncodedRow[] {
  if (row.kind === "document") return cutDocument(tokenizer.encode(row.text), cutoffLen);
  const text = row.kind === "text" ? row.text : row.prompt + row.completion;
  const inputIds = withEos(tokenizer.encode(text), tokenizer.eosTokenId).slice(0, cutoffLen);
  const labels = [...inputIds];
  if (row.kind === "completion") {
    labels.fill(IGNORE_LABEL, 0, commonPrefix(tokenizer.encode(row.prompt), inputIds));
  }
  return [{ inputIds, labels }];
}

function cutDocument(ids: readonly number[], cutoffLen: number): EncodedRow[] {
  if (ids.length < cutoffLen) {
    const advice =
      ids.length >= 2
        ? `lower cutoffLen to ${ids.length} or less, or use a longer text`
        : "use a longer text";
    const short = `the text has ${ids.length} tokens, fewer than one sequence`;
    throw new DatasetError(`${short} of cutoffLen (${cutoffLen}) tokens; ${advice}`);
  }
  const rows: EncodedRow[] = [];
  for (let end = cutoffLen; end <= ids.length; end += cutoffLen) {
    const inputIds = ids.slice(end - cutoffLen, end);
    rows.push({ inputIds, labels: [...inputIds] });
  }
  return rows;
}

function withEos(ids: number[], eosTokenId: number | null): number[] {
  return eosTokenId === null || ids.at(-1) === eosTokenId ? ids : [...ids, eosTokenId];
}

/**
 * How many tokens two sequences share at their beginning: a token that spans prompt and completion is
 * learned.
 */
function commonPrefix(a: readonly number[], b: readonly number[]): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

/** Rows of equal length. The mask is 1 for tokens and 0 for padding. */
export interface Batch {
  readonly inputIds: number[][];
  readonly labels: number[][];
  readonly attentionMask: number[][];
}

/**
 * Pad rows on the right to the longest of them, rounded up to a multiple of `multipleOf`: ids with `padId`, labels with
 * -100, the mask with 0.
 */
export function collate(rows: readonly EncodedRow[], padId: number, multipleOf = 1): Batch {
  const longest = Math.max(0, ...rows.map(({ inputIds }) => inputIds.length));
  const length = Math.ceil(longest / multipleOf) * multipleOf;
  const pad = (values: readonly number[], filler: number): number[] => [
    ...values,
    ...new Array<number>(length - values.length).fill(filler),
  ];
  return {
    inputIds: rows.map(({ inputIds }) => pad(inputIds, padId)),
    labels: rows.map(({ labels }) => pad(labels, IGNORE_LABEL)),
    attentionMask: rows.map(({ inputIds }) =>
      pad(
        inputIds.map(() => 1),
        0,
      ),
    ),
  };
}
