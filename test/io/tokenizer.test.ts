import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AutoTokenizer, FileError, TokenizerError } from "../../src/io/index.ts";
import { sharedPath } from "../shared.ts";

const model = sharedPath("models/stories260K");
const goldens = sharedPath("goldens/tokenizer-stories260K.json");

describe("AutoTokenizer", () => {
  it.skipIf(model === null || goldens === null)(
    "gives the reference's ids for 311 texts (needs ../shared)",
    async () => {
      const tokenizer = await AutoTokenizer.fromPretrained(model ?? "");
      const cases = JSON.parse(readFileSync(goldens ?? "", "utf8")) as { t: string; ids: number[] }[];
      expect(cases.length).toBe(311);
      for (const { t, ids } of cases) {
        expect([t, tokenizer.encode(t)]).toEqual([t, ids]);
        expect(tokenizer.encode(t, { addSpecialTokens: false })).toEqual(ids.slice(1));
        if (t.length > 0) expect(tokenizer.decode(ids)).toBe(t);
      }
    },
  );

  it.skipIf(model === null)("knows its special tokens, vocabulary and files (needs ../shared)", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(model ?? "");
    expect(tokenizer).toMatchObject({ vocabSize: 512, bosTokenId: 1, eosTokenId: 2, padTokenId: null });
    expect([...tokenizer.files.keys()]).toEqual([
      "tokenizer.json",
      "tokenizer_config.json",
      "special_tokens_map.json",
    ]);
    expect(tokenizer.files.get("tokenizer.json")?.length).toBe(12327);
    expect(tokenizer.decode([1, 403, 2], { skipSpecialTokens: false })).toMatch(/^<s>.*<\/s>$/);
    expect(tokenizer.decode([])).toBe("");
    expect(tokenizer.decode([1])).toBe("");
    expect(tokenizer.decode([403, 99999, 407])).toBe(tokenizer.decode([403, 407]));
  });
});

describe("AutoTokenizer, on files made here", () => {
  let dir = "";
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "polargrad-tokenizer-"));
  });
  afterEach(() => rm(dir, { recursive: true }));

  const write = (name: string, json: unknown): Promise<void> =>
    writeFile(join(dir, name), JSON.stringify(json));
  const added = (id: number, content: string): object => ({ id, content, special: true, normalized: false });
  const bpe = (vocab: Record<string, number>, tokens: object[] = []): object => ({
    added_tokens: tokens,
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: "Fuse" },
    model: { type: "BPE", vocab, merges: [["a", "b"]], unk_token: null },
  });

  it("reads special tokens written as objects, and merges written as pairs", async () => {
    await write("tokenizer.json", bpe({ a: 0, b: 1, ab: 2 }, [added(3, "</s>"), added(9, "<pad>")]));
    await write("tokenizer_config.json", { eos_token: { content: "</s>" }, pad_token: null });
    await write("special_tokens_map.json", { pad_token: "<pad>" });
    const tokenizer = await AutoTokenizer.fromPretrained(dir);
    expect(tokenizer).toMatchObject({ vocabSize: 10, bosTokenId: null, eosTokenId: 3, padTokenId: 9 });
    expect(tokenizer.encode("abba</s>")).toEqual([2, 1, 0, 3]);
    expect(tokenizer.decode([2, 1, 3])).toBe("abb");
  });

  it("needs nothing but tokenizer.json, and says so when that is missing", async () => {
    await expect(AutoTokenizer.fromPretrained(dir)).rejects.toThrow(
      `${join(dir, "tokenizer.json")}: no such file; expected a tokenizer in the fast format`,
    );
    await writeFile(join(dir, "tokenizer.model"), "x");
    await expect(AutoTokenizer.fromPretrained(dir)).rejects.toThrow(
      /only tokenizer\.model; transformers converts it/,
    );
    await write("tokenizer.json", bpe({ a: 0 }));
    const tokenizer = await AutoTokenizer.fromPretrained(dir);
    expect(tokenizer).toMatchObject({ vocabSize: 1, bosTokenId: null, eosTokenId: null, padTokenId: null });
  });

  it("leaves out text that the vocabulary lacks, as the reference does", async () => {
    await write("tokenizer.json", bpe({ a: 0 }));
    expect((await AutoTokenizer.fromPretrained(dir)).encode("axa")).toEqual([0, 0]);
    await write("tokenizer.json", { ...bpe({}), model: { type: "WordPiece", vocab: { a: 0 } } });
    const wordPiece = await AutoTokenizer.fromPretrained(dir);
    expect(wordPiece.encode("a")).toEqual([0]);
    expect(() => wordPiece.encode("x")).toThrow('has no token for a part of "x"');
  });

  it.each<[string, unknown, string]>([
    ["an array", [], "expected a JSON object"],
    ["an object without a model", { a: 1 }, 'has no field "model"'],
    [
      "an unknown model",
      { ...bpe({}), model: { type: "Nope" } },
      "describes a tokenizer that cannot be built",
    ],
    [
      "a huge added id",
      bpe({ a: 0 }, [added(4294967294, "x")]),
      "has the token id 4294967294, expected 0 to",
    ],
    ["a huge id in the vocabulary", bpe({ a: 1e9 }), "has the token id 1000000000, expected 0 to"],
    ["a negative id", bpe({ a: -1 }), "has the token id -1, expected 0 to"],
  ])("refuses %s", async (_, json, message) => {
    await write("tokenizer.json", json);
    await expect(AutoTokenizer.fromPretrained(dir)).rejects.toThrow(TokenizerError);
    await expect(AutoTokenizer.fromPretrained(dir)).rejects.toThrow(
      `${join(dir, "tokenizer.json")}: ${message}`,
    );
  });

  it("refuses broken JSON and a special token that the vocabulary lacks", async () => {
    await writeFile(join(dir, "tokenizer.json"), "{");
    await expect(AutoTokenizer.fromPretrained(dir)).rejects.toThrow(FileError);
    await write("tokenizer.json", bpe({ a: 0 }));
    await write("tokenizer_config.json", { eos_token: "</s>" });
    await expect(AutoTokenizer.fromPretrained(dir)).rejects.toThrow(
      'has no token "</s>", which the configuration gives',
    );
  });
});
