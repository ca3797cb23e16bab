import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  collate,
  DatasetError,
  encodeRows,
  IGNORE_LABEL,
  readDataset,
  type RowTokenizer,
  splitRows,
  type TextRow,
} from "../../src/io/index.ts";
import { sharedPath } from "../shared.ts";

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "polargrad-dataset-"));
});
afterEach(() => rm(dir, { recursive: true }));

async function dataset(name: string, content: string): Promise<TextRow[]> {
  await writeFile(join(dir, name), content);
  return readDataset(join(dir, name));
}

describe("readDataset", () => {
  it("reads a text file as one document", async () => {
    expect(await dataset("a.txt", "one\ntwo\n")).toEqual([{ kind: "document", text: "one\ntwo\n" }]);
  });

  it("reads the three forms of JSON lines, with blank lines, CRLF and other fields", async () => {
    const lines = [
      '{"text":"a","id":1}',
      "",
      '{"prompt":"p","completion":"c"}\r',
      "  ",
      '{"question":"q","answer":"a"}',
    ];
    expect(await dataset("a.JSONL", lines.join("\n"))).toEqual([
      { kind: "text", text: "a" },
      { kind: "completion", prompt: "p", completion: "c" },
      { kind: "completion", prompt: "q\n", completion: "a" },
    ]);
  });

  it.each([
    ["a.jsonl", '{"text":"a"}\n\n{"text":', 'line 3: expected one JSON object a line, got "{\\"text\\":"'],
    ["a.jsonl", "[1]", 'line 1: expected {"text": …}'],
    ["a.jsonl", '{"txt":"a","x":1}', 'got an object with the fields "txt", "x"'],
    ["a.jsonl", '{"prompt":"a"}', 'line 1: "completion" must be a text that is not empty, got nothing'],
    ["a.jsonl", '{"text":5}', 'line 1: "text" must be a text that is not empty, got 5'],
    ["a.jsonl", '{"text":""}', 'line 1: "text" must be a text that is not empty, got ""'],
    ["a.jsonl", '{"__proto__":{"text":"a"}}', 'got an object with the fields "__proto__"'],
    ["a.jsonl", "\n \n", "the data set is empty"],
    ["a.txt", "", "the data set is empty"],
    ["a.csv", "x", 'expected a data set ending in .txt or .jsonl, got ".csv"'],
  ])("refuses %s with %j", async (name, content, message) => {
    const action = dataset(name, content);
    await expect(action).rejects.toThrow(DatasetError);
    await expect(action).rejects.toThrow(message);
    await expect(action).rejects.toMatchObject({ file: join(dir, name) });
  });

  const gsm8k = sharedPath("data/gsm8k_test.jsonl");
  it.skipIf(gsm8k === null)("reads gsm8k (needs ../shared)", async () => {
    const rows = await readDataset(gsm8k ?? "");
    expect(rows.length).toBe(1319);
    expect(rows.every((row) => row.kind === "completion" && row.completion.includes("#### "))).toBe(true);
  });
});

/** One token a character, BOS 1, EOS 2; "th" is one token, so that merges can span prompt and completion. */
const tokenizer: RowTokenizer = {
  encode: (text) => [
    1,
    ...(text.match(/th|./gsu) ?? []).map((part) => (part === "th" ? 3 : (part.codePointAt(0) ?? 0))),
  ],
  eosTokenId: 2,
};
const codes = (text: string): number[] => [...text].map((c) => c.codePointAt(0) ?? 0);

describe("encodeRows", () => {
  it("learns all of a text, with EOS", () => {
    const inputIds = [1, ...codes("abc"), 2];
    expect(encodeRows([{ kind: "text", text: "abc" }], tokenizer, { cutoffLen: 9 })).toEqual([
      { inputIds, labels: inputIds },
    ]);
    const cut = [1, ...codes("ab")];
    expect(encodeRows([{ kind: "text", text: "abc" }], tokenizer, { cutoffLen: 3 })).toEqual([
      { inputIds: cut, labels: cut },
    ]);
  });

  it("learns the completion only, and a token that spans the boundary", () => {
    const rows: TextRow[] = [
      { kind: "completion", prompt: "pq", completion: "cd" },
      { kind: "completion", prompt: "pt", completion: "hx" },
    ];
    const skip = IGNORE_LABEL;
    expect(encodeRows(rows, tokenizer, { cutoffLen: 9 })).toEqual([
      { inputIds: [1, ...codes("pqcd"), 2], labels: [skip, skip, skip, ...codes("cd"), 2] },
      { inputIds: [1, ...codes("p"), 3, ...codes("x"), 2], labels: [skip, skip, 3, ...codes("x"), 2] },
    ]);
  });

  it("adds no second EOS, and none where there is none", () => {
    const row: TextRow = { kind: "text", text: "ab" };
    const encode = (text: string): number[] => [...codes(text), 2];
    expect(encodeRows([row], { encode, eosTokenId: 2 }, { cutoffLen: 9 })[0].inputIds).toEqual([
      ...codes("ab"),
      2,
    ]);
    expect(encodeRows([row], { encode: codes, eosTokenId: null }, { cutoffLen: 9 })[0].inputIds).toEqual(
      codes("ab"),
    );
  });

  it("leaves out rows whose prompt fills cutoffLen, and says so", () => {
    const rows: TextRow[] = [
      { kind: "completion", prompt: "long prompt", completion: "c" },
      { kind: "completion", prompt: "p", completion: "c" },
    ];
    const warnings: string[] = [];
    const warn = (message: string): void => void warnings.push(message);
    expect(encodeRows(rows, tokenizer, { cutoffLen: 5, warn }).length).toBe(1);
    expect(warnings).toEqual([
      "left out 1 of 2 rows: the prompt leaves nothing to learn within cutoffLen (5 tokens)",
    ]);
    expect(() => encodeRows(rows.slice(0, 1), tokenizer, { cutoffLen: 5, warn })).toThrow("raise cutoffLen");
    expect(warnings.length).toBe(1);
  });

  it("cuts a document into whole sequences, and says what fits a short one", () => {
    const row: TextRow = { kind: "document", text: "abcdefgh" };
    const rows = encodeRows([row], tokenizer, { cutoffLen: 4 });
    expect(rows.map(({ inputIds }) => inputIds)).toEqual([[1, ...codes("abc")], codes("defg")]);
    expect(rows.every(({ inputIds, labels }) => inputIds !== labels && `${inputIds}` === `${labels}`)).toBe(
      true,
    );
    expect(encodeRows([row], tokenizer, { cutoffLen: 9 }).length).toBe(1);
    expect(() => encodeRows([row], tokenizer, { cutoffLen: 10 })).toThrow(
      "the text has 9 tokens, fewer than one sequence of cutoffLen (10) tokens; lower cutoffLen to 9 or less",
    );
  });

  it.each([0, 1, 2.5, NaN])("refuses cutoffLen %d", (cutoffLen) => {
    expect(() => encodeRows([{ kind: "text", text: "a" }], tokenizer, { cutoffLen })).toThrow(DatasetError);
  });

  it("refuses no rows", () => {
    expect(() => encodeRows([], tokenizer, { cutoffLen: 4 })).toThrow("no rows");
  });
});

describe("splitRows", () => {
  it("holds out exactly valSetSize rows, keeps the order, and repeats itself", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.nat(60), fc.integer(), (count, size, seed) => {
        fc.pre(size < count);
        const rows = Array.from({ length: count }, (_, i) => i);
        const { train, val } = splitRows(rows, size, seed);
        expect(val.length).toBe(size);
        expect([...train, ...val].sort((a, b) => a - b)).toEqual(rows);
        for (const part of [train, val]) expect(part).toEqual(part.toSorted((a, b) => a - b));
        expect(splitRows(rows, size, seed)).toEqual({ train, val });
      }),
    );
  });

  it("gives the same split for ever, and another for another seed", () => {
    const rows = Array.from({ length: 20 }, (_, i) => i);
    expect(splitRows(rows, 4, 42).val).toMatchInlineSnapshot(`
      [
        1,
        2,
        3,
        15,
      ]
    `);
    expect(splitRows(rows, 4, 43).val).not.toEqual(splitRows(rows, 4, 42).val);
  });

  it("draws every row about equally often", () => {
    const rows = Array.from({ length: 10 }, (_, i) => i);
    const times = new Array<number>(10).fill(0);
    for (let seed = 0; seed < 2000; seed++) for (const row of splitRows(rows, 3, seed).val) times[row]++;
    for (const count of times) expect(Math.abs(count - 600)).toBeLessThan(100);
  });

  it.each([
    [3, "cannot hold out 3 of 3 rows and train on the rest; hold out 2 or fewer"],
    [-1, "0 or more, got -1"],
    [0.5, "got 0.5"],
  ])("refuses to hold out %d of 3 rows", (size, message) => {
    expect(() => splitRows([1, 2, 3], size, 0)).toThrow(message);
    expect(() => splitRows([1, 2, 3], size, 0)).toThrow(DatasetError);
  });
});

describe("collate", () => {
  it("pads on the right to the longest row", () => {
    const rows = [
      { inputIds: [5, 6, 7], labels: [IGNORE_LABEL, 6, 7] },
      { inputIds: [8], labels: [8] },
    ];
    expect(collate(rows, 9)).toEqual({
      inputIds: [
        [5, 6, 7],
        [8, 9, 9],
      ],
      labels: [
        [IGNORE_LABEL, 6, 7],
        [8, IGNORE_LABEL, IGNORE_LABEL],
      ],
      attentionMask: [
        [1, 1, 1],
        [1, 0, 0],
      ],
    });
    expect(collate(rows, 9, 4).inputIds).toEqual([
      [5, 6, 7, 9],
      [8, 9, 9, 9],
    ]);
    expect(collate(rows, 9, 3)).toEqual(collate(rows, 9));
    expect(collate([], 0)).toEqual({ inputIds: [], labels: [], attentionMask: [] });
  });
});
