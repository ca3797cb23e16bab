// Learns a byte-level BPE vocabulary from text and writes it in the form of tokenizer.json.

/** GPT-2's split of a text into words, numbers, punctuation and spaces. */
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** The printable character that stands for each byte in a byte-level vocabulary (Radford et al. 2019). */
export function byteAlphabet(): string[] {
  const printable = (byte: number): boolean => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

interface Word {
  symbols: string[];
  readonly count: number;
}

const SEPARATOR = "\u0000";

function countWords(text: string, alphabet: readonly string[]): Word[] {
  const counts = new Map<string, number>();
  for (const [word] of text.matchAll(WORDS)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const encoder = new TextEncoder();
  return [...counts].map(([word, count]) => ({ symbols: [...encoder.encode(word)].map((byte) => alphabet[byte]), count }));
}

/** How often each pair of neighbours occurs, and in which words. */
class Pairs {
  readonly counts = new Map<string, number>();
  readonly #words = new Map<string, Set<Word>>();

  change(word: Word, sign: 1 | -1): void {
    for (let i = 0; i + 1 < word.symbols.length; i++) {
      const pair = word.symbols[i] + SEPARATOR + word.symbols[i + 1];
      this.counts.set(pair, (this.counts.get(pair) ?? 0) + sign * word.count);
      const words = this.#words.get(pair) ?? new Set();
      if (sign > 0) words.add(word);
      this.#words.set(pair, words);
    }
  }

  /** The most frequent pair; of equals the first in code-point order. */
  best(): string | null {
    let best: string | null = null;
    let most = 1;
    for (const [pair, count] of this.counts) {
      if (count > most || (count === most && best !== null && pair < best)) [best, most] = [pair, count];
    }
    return best;
  }

  wordsOf(pair: string): Word[] {
    const words = [...(this.#words.get(pair) ?? [])];
    this.#words.delete(pair);
    return words;
  }
}

function merge(symbols: readonly string[], left: string, right: string): string[] {
  const out: string[] = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      out.push(left + right);
      i++;
    } else {
      out.push(symbols[i]);
    }
  }
  return out;
}

/**
 * Byte-pair encoding (Sennrich et al. 2016) over the bytes of `text`.
 *
 * @param vocabSize all tokens: the special ones, 256 bytes, and merges up to this size
 * @param special tokens with the first ids
 */
export function trainBpe(text: string, vocabSize: number, special: readonly string[]): Record<string, unknown> {
  const alphabet = byteAlphabet();
  const words = countWords(text, alphabet);
  const pairs = new Pairs();
  for (const word of words) pairs.change(word, 1);
  const tokens = [...special, ...alphabet];
  const merges: string[][] = [];
  while (tokens.length < vocabSize) {
    const pair = pairs.best();
    if (pair === null) break;
    const [left, right] = pair.split(SEPARATOR);
    merges.push([left, right]);
    tokens.push(left + right);
    for (const word of pairs.wordsOf(pair)) {
      pairs.change(word, -1);
      word.symbols = merge(word.symbols, left, right);
      pairs.change(word, 1);
    }
    pairs.counts.delete(pair);
  }
  return tokenizerJson(Object.fromEntries(tokens.map((token, id) => [token, id])), merges, special);
}

function tokenizerJson(vocab: Record<string, number>, merges: string[][], special: readonly string[]): Record<string, unknown> {
  const [bos] = special;
  const bosToken = { SpecialToken: { id: bos, type_id: 0 } };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: special.map((content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: {
      type: "TemplateProcessing",
      single: [bosToken, { Sequence: { id: "A", type_id: 0 } }],
      pair: [bosToken, { Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
      special_tokens: { [bos]: { id: bos, ids: [vocab[bos]], tokens: [bos] } },
    },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false, vocab, merges },
  };
}
