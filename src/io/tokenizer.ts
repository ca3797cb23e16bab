import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { PolargradError } from "../tensor/errors.ts";
import { exists, FileError, joinPath, parseJson, readBytes } from "./files.ts";
import { quote, quoteValue } from "./quote.ts";

/** A tokenizer directory whose files are there but cannot be used. `file` is the one at fault. */
export class TokenizerError extends PolargradError {
  override readonly name = "TokenizerError";
  readonly file: string;

  constructor(file: string, why: string, cause?: unknown) {
    super(`${file}: ${why}`, cause === undefined ? undefined : { cause });
    this.file = file;
  }
}

const TOKENIZER = "tokenizer.json";
const CONFIG = "tokenizer_config.json";
const SPECIAL_TOKENS = "special_tokens_map.json";
const MAX_VOCABULARY = 1 << 24;
const EXTRAS = ["added_tokens.json", "chat_template.jinja", "tokenizer.model"];

/** Text to token ids and back, as `tokenizer.json` describes it. Made by `AutoTokenizer.fromPretrained`. */
export class Tokenizer {
  /** Rows that an embedding needs for every id: the highest id + 1, added tokens included. */
  readonly vocabSize: number;
  /** Id that begins a sequence; null if the files name none. */
  readonly bosTokenId: number | null;
  /** Id that ends a sequence; null if the files name none. */
  readonly eosTokenId: number | null;
  /** Id that fills up short sequences; null if the files name none. */
  readonly padTokenId: number | null;
  /** The files read, by name, so that they can be written next to what was trained with this tokenizer. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly #inner: HuggingFaceTokenizer;

  constructor(inner: HuggingFaceTokenizer, tokens: SpecialTokens, files: ReadonlyMap<string, Uint8Array>) {
    this.#inner = inner;
    this.files = files;
    let highest = -1;
    for (const id of inner.get_vocab(true).values()) highest = Math.max(highest, id);
    this.vocabSize = highest + 1;
    this.bosTokenId = tokens.bos;
    this.eosTokenId = tokens.eos;
    this.padTokenId = tokens.pad;
  }

  /**
   * Token ids of `text`, with the special tokens that the file's post-processor adds (Llama: BOS first, no
   * EOS).
   */
  encode(text: string, { addSpecialTokens = true }: { addSpecialTokens?: boolean } = {}): number[] {
    const ids: (number | undefined)[] = this.#inner.encode(text, {
      add_special_tokens: addSpecialTokens,
    }).ids;
    if (isEveryDefined(ids)) return ids;
    throw new TokenizerError(
      TOKENIZER,
      `has no token for a part of ${quote(text)}, and no token for unknown text`,
    );
  }

  /**
   * Text of token ids; special tokens such as BOS are left out unless `skipSpecialTokens` is false. Ids
   * without a token (a model's vocabulary may be padded) give no text, and spaces before punctuation stay, as
   * in transformers 5.
   */
  decode(ids: readonly number[], { skipSpecialTokens = true }: { skipSpecialTokens?: boolean } = {}): string {
    const known = ids.filter((id) => this.#inner.id_to_token(id) !== undefined);
    if (known.length === 0) return "";
    const options = { skip_special_tokens: skipSpecialTokens, clean_up_tokenization_spaces: false };
    return this.#inner.decode(known, options);
  }
}

const isEveryDefined = (ids: (number | undefined)[]): ids is number[] => !ids.includes(undefined);

/** Ids of the special tokens that a tokenizer's files name; null where they name none. */
export interface SpecialTokens {
  readonly bos: number | null;
  readonly eos: number | null;
  readonly pad: number | null;
}

/** Loads the tokenizer of a checkpoint directory; named as in transformers. */
export const AutoTokenizer = {
  /**
   * Read `tokenizer.json` and, where they are there, `tokenizer_config.json`, `special_tokens_map.json` and
   * the files that go with them.
   *
   * @throws FileError if `tokenizer.json` is missing or no JSON; TokenizerError if it describes no usable
   * tokenizer
   */
  async fromPretrained(dir: string): Promise<Tokenizer> {
    const files = await readTokenizerFiles(dir);
    const json = (name: string): object => parseObject(files, dir, name);
    const config = json(CONFIG);
    const path = joinPath(dir, TOKENIZER);
    const inner = buildTokenizer(json(TOKENIZER), config, path);
    const special = json(SPECIAL_TOKENS);
    const id = (field: string): number | null => {
      const token = tokenContent(config, field) ?? tokenContent(special, field);
      if (token === null) return null;
      const found = inner.token_to_id(token);
      if (found !== undefined) return found;
      throw new TokenizerError(
        path,
        `has no token ${quote(token)}, which the configuration gives as ${field}`,
      );
    };
    return new Tokenizer(inner, { bos: id("bos_token"), eos: id("eos_token"), pad: id("pad_token") }, files);
  },
};

async function readTokenizerFiles(dir: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const path = joinPath(dir, TOKENIZER);
  if (!(await exists(path)) && (await exists(joinPath(dir, "tokenizer.model")))) {
    const why =
      "no such file, only tokenizer.model; transformers converts it: " +
      "AutoTokenizer.from_pretrained(dir).save_pretrained(dir)";
    throw new FileError("missing", path, why);
  }
  files.set(TOKENIZER, await readBytes(path, "a tokenizer in the fast format (tokenizer.json)"));
  for (const name of [CONFIG, SPECIAL_TOKENS, ...EXTRAS]) {
    if (await exists(joinPath(dir, name))) files.set(name, await readBytes(joinPath(dir, name)));
  }
  return files;
}

/** The JSON object of a file that was read; an empty one if it is not there. */
function parseObject(files: ReadonlyMap<string, Uint8Array>, dir: string, name: string): object {
  const bytes = files.get(name);
  if (bytes === undefined) return {};
  const path = joinPath(dir, name);
  const value = parseJson(new TextDecoder().decode(bytes), path, "a JSON object");
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new TokenizerError(path, "expected a JSON object");
}

function buildTokenizer(json: object, config: object, path: string): HuggingFaceTokenizer {
  if (!Object.hasOwn(json, "model")) {
    throw new TokenizerError(path, 'has no field "model"; is it a tokenizer file of Hugging Face?');
  }
  checkIds(json, path);
  try {
    return new HuggingFaceTokenizer(json, config);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TokenizerError(path, `describes a tokenizer that cannot be built: ${quote(why)}`, cause);
  }
}

/**
 * The tokenizer keeps an array as long as its highest id: one huge id in a file must not cost memory or time.
 */
function checkIds(json: { added_tokens?: unknown; model?: unknown }, path: string): void {
  const check = (id: unknown): void => {
    if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id < MAX_VOCABULARY) return;
    throw new TokenizerError(path, `has the token id ${quoteValue(id)}, expected 0 to ${MAX_VOCABULARY - 1}`);
  };
  const { added_tokens: added, model } = json;
  if (Array.isArray(added)) for (const token of added as ({ id?: unknown } | null)[]) check(token?.id);
  const vocab = typeof model === "object" && model !== null && "vocab" in model ? model.vocab : null;
  if (typeof vocab === "object" && vocab !== null && !Array.isArray(vocab)) {
    Object.values(vocab).forEach(check);
  }
}

/** A special token, written as a string or as an object with its `content`. */
function tokenContent(source: object, field: string): string | null {
  const value = Object.hasOwn(source, field) ? (source as Record<string, unknown>)[field] : null;
  if (typeof value === "string") return value;
  const isObject = typeof value === "object" && value !== null;
  return isObject && "content" in value && typeof value.content === "string" ? value.content : null;
}
