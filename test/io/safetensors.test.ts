import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  parseSafetensors,
  SAFETENSORS_DTYPE_BITS,
  type SafetensorsDType,
  SafetensorsError,
  type SafetensorsInput,
  serializeSafetensors,
} from "../../src/io/index.ts";

const DTYPES = Object.keys(SAFETENSORS_DTYPE_BITS) as SafetensorsDType[];

/** A file with `header` as it stands, and `data` zero bytes. */
function file(header: string, data = 16): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

function headerOf(bytes: Uint8Array): string {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  return new TextDecoder().decode(bytes.subarray(8, 8 + length));
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof SafetensorsError) return error.code;
    throw error;
  }
  return "accepted";
}

const tensor = fc
  .record({
    dtype: fc.constantFrom(...DTYPES),
    shape: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 8 }),
    seed: fc.nat(255),
  })
  .map(({ dtype, shape, seed }): SafetensorsInput => {
    const whole = SAFETENSORS_DTYPE_BITS[dtype] % 8 === 0 ? shape : [...shape, 4];
    const bytes = whole.reduce((product, size) => product * size, SAFETENSORS_DTYPE_BITS[dtype]) / 8;
    return { dtype, shape: whole, data: Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + seed) & 255) };
  });

const name = fc
  .string({ unit: "grapheme", maxLength: 12 })
  .filter((text) => !/[\p{Cc}\p{Surrogate}]/u.test(text) && text !== "__metadata__");
const tensors = fc.uniqueArray(fc.tuple(name, tensor), { selector: ([key]) => key, maxLength: 6 });
const metadata = fc.option(fc.dictionary(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" })));

describe("serializeSafetensors and parseSafetensors", () => {
  it("give back every tensor and all metadata, for all dtypes, ranks 0 to 8 and empty tensors", () => {
    fc.assert(
      fc.property(tensors, metadata, (entries, text) => {
        const bytes = serializeSafetensors(entries, text);
        const parsed = parseSafetensors(bytes);
        expect(new TextEncoder().encode(headerOf(bytes)).length % 8).toBe(0);
        expect(new Set(parsed.tensors.keys())).toEqual(new Set(entries.map(([key]) => key)));
        for (const [key, { dtype, shape, data }] of entries) {
          expect(parsed.tensors.get(key)).toEqual({ dtype, shape, data });
        }
        expect(parsed.metadata).toEqual(text === null ? null : new Map(Object.entries(text)));
        expect(serializeSafetensors(parsed.tensors, parsed.metadata)).toEqual(bytes);
      }),
      { numRuns: 300 },
    );
  });

  it("write the reference's bytes: metadata, then wide dtypes, then names by byte, padded to 8", () => {
    const one = (dtype: SafetensorsDType, bytes: number): SafetensorsInput => ({
      dtype,
      shape: [1],
      data: new Uint8Array(bytes),
    });
    const bytes = serializeSafetensors(
      [
        ["b", one("U8", 1)],
        ["layers.2", one("F32", 4)],
        ["layers.10", one("F32", 4)],
        ["h", one("BF16", 2)],
        ["i", one("I64", 8)],
      ],
      { format: "pt" },
    );
    expect(headerOf(bytes)).toBe(
      '{"__metadata__":{"format":"pt"},"i":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},' +
        '"layers.10":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},' +
        '"layers.2":{"dtype":"F32","shape":[1],"data_offsets":[12,16]},' +
        '"h":{"dtype":"BF16","shape":[1],"data_offsets":[16,18]},"b":{"dtype":"U8","shape":[1],"data_offsets":[18,19]}} ',
    );
    expect(headerOf(serializeSafetensors([]))).toBe("{}      ");
  });

  it("sort names by their UTF-8 bytes, not by UTF-16 units", () => {
    const data = new Uint8Array(1);
    const bytes = serializeSafetensors(
      ["\uffff", "😀", "é", "Z", "a"].map((key) => [key, { dtype: "U8", shape: [], data }]),
    );
    expect([...parseSafetensors(bytes).tensors.keys()]).toEqual(["Z", "a", "é", "\uffff", "😀"]);
  });

  it("take any typed array, and a view into the middle of a buffer", () => {
    const data = new Float32Array([9, 1, 2, 9]).subarray(1, 3);
    const parsed = parseSafetensors(
      serializeSafetensors(new Map([["x", { dtype: "F32", shape: [2], data }]])),
    );
    expect(parsed.tensors.get("x")?.data).toEqual(new Uint8Array(new Float32Array([1, 2]).buffer));
    const shifted = new Uint8Array(100);
    const bytes = serializeSafetensors([["x", { dtype: "F32", shape: [2], data }]]);
    shifted.set(bytes, 3);
    expect(parseSafetensors(shifted.subarray(3, 3 + bytes.length))).toEqual(parsed);
  });

  it.each<[string, string, Partial<SafetensorsInput>]>([
    ["reserved-name", "__metadata__", {}],
    ["control-character", "a\u001b[2J", {}],
    ["bad-value", "\ud800", {}],
    ["bad-value", "a", { shape: [-4] }],
    ["bad-value", "a", { shape: [1.5] }],
    ["rank-too-high", "a", { shape: new Array(65).fill(1) }],
    ["size-mismatch", "a", { shape: [5] }],
    ["size-overflow", "a", { shape: [2 ** 52, 2 ** 52, 0] }],
    ["size-not-whole-bytes", "a", { dtype: "F4", shape: [3] }],
    ["unknown-dtype", "a", { dtype: "F31" as SafetensorsDType }],
  ])("refuse to write what cannot be read back: %s", (code, key, change) => {
    const entry: SafetensorsInput = { dtype: "F32", shape: [4], data: new Float32Array(4), ...change };
    expect(codeOf(() => serializeSafetensors([[key, entry]]))).toBe(code);
  });

  it("refuse two tensors of one name, and metadata that is no text", () => {
    const entry: SafetensorsInput = { dtype: "U8", shape: [0], data: new Uint8Array(0) };
    expect(
      codeOf(() =>
        serializeSafetensors([
          ["a", entry],
          ["a", entry],
        ]),
      ),
    ).toBe("duplicate-name");
    expect(codeOf(() => serializeSafetensors([], { step: 1 as unknown as string }))).toBe("bad-value");
  });
});

const A = '"dtype":"F32","shape":[4],"data_offsets":[0,16]';

describe("parseSafetensors, stricter than the reference", () => {
  it.each([
    ["two tensors of one name", "duplicate-name", `{"a":{${A}},"a":{${A}}}`],
    ["one of them escaped", "duplicate-name", `{"a":{${A}},"\\u0061":{${A}}}`],
    ["two metadata entries of one name", "duplicate-name", `{"__metadata__":{"k":"1","k":"2"},"a":{${A}}}`],
    ["a leading space", "header-start", ` {"a":{${A}}}`],
    ["an escaped NUL in a name", "control-character", `{"a\\u0000":{${A}}}`],
    ["a DEL in a name", "control-character", `{"a\u007f":{${A}}}`],
    [
      "65 dimensions",
      "rank-too-high",
      `{"a":{"dtype":"F32","shape":[${"1,".repeat(64)}4],"data_offsets":[0,16]}}`,
    ],
    ["an entry as an array", "header-type", '{"a":["F32",[4],[0,16]]}'],
    ["a dtype as an object", "header-type", '{"a":{"dtype":{"F32":null},"shape":[4],"data_offsets":[0,16]}}'],
    ["the largest double", "header-not-json", `{"a":{"x":1.7976931348623157e308,${A}}}`],
  ])("refuses %s: %s", (_, code, header) => {
    expect(codeOf(() => parseSafetensors(file(header)))).toBe(code);
  });
});

describe("parseSafetensors, verdicts of the reference that are easy to get wrong", () => {
  const shape = (dims: string, end: number): string =>
    `{"a":{"dtype":"F32","shape":${dims},"data_offsets":[0,${end}]}}`;
  const nested = (depth: number): string => `{"a":{"x":${"[".repeat(depth)}${"]".repeat(depth)},${A}}}`;
  it.each([
    ["unknown fields", "accepted", `{"a":{${A},"x":[true,null,-0.5e-3,"\\ud83d\\ude00",{"y":1,"y":2}]}}`],
    ["125 arrays in an entry", "accepted", nested(125)],
    ["126 arrays in an entry", "header-too-deep", nested(126)],
    ["100,000 arrays in an entry", "header-too-deep", nested(100_000)],
    ["white space", "accepted", `{ "a"\n:\r\t{${A}} }\n\t `],
    ["a name of 1 MB", "accepted", `{"${"a".repeat(1e6)}":{${A}}}`],
    ["an empty name", "accepted", `{"":{${A}}}`],
    [
      "an escape in a field's name",
      "accepted",
      `{"a":{"d\\u0074ype":"F32","shape":[4],"data_offsets":[0,16]}}`,
    ],
    ["a byte-order mark", "header-start", `\ufeff{"a":{${A}}}`],
    ["a number that underflows", "accepted", `{"a":{"x":1e-999,${A}}}`],
    ["a number that overflows", "header-not-json", `{"a":{"x":1e999,${A}}}`],
    ["a low surrogate", "header-not-json", `{"a":{"x":"\\udc00",${A}}}`],
    ["a high surrogate before a letter", "header-not-json", `{"a":{"x":"\\ud800\\u0041",${A}}}`],
    ["a leading zero", "header-not-json", `{"a":{"x":01,${A}}}`],
    ["a trailing comma", "header-not-json", `{"a":{${A},}}`],
    ["a tab in a name", "header-not-json", `{"a\tb":{${A}}}`],
    ["-0 as an offset", "header-type", '{"a":{"dtype":"F32","shape":[4],"data_offsets":[-0,16]}}'],
    ["16.0 as a dimension", "header-type", shape("[16.0]", 16)],
    ["1e1 as a dimension", "header-type", shape("[1e1]", 16)],
    ["a dimension of 2^64", "header-type", shape("[0,18446744073709551616]", 0)],
    ["10,000 dimensions", "rank-too-high", shape(`[${"2,".repeat(9999)}2]`, 16)],
    ["a field twice", "duplicate-field", `{"a":{${A},"dtype":"F32"}}`],
    ["metadata twice", "duplicate-name", `{"__metadata__":null,"__metadata__":{},"a":{${A}}}`],
    ["a product over 64 bits before a 0", "size-overflow", shape("[9223372036854775807,4,0]", 0)],
  ])("%s: %s", (_, code, header) => {
    expect(codeOf(() => parseSafetensors(file(header)))).toBe(code);
  });

  it("lets an empty tensor share its offset with the tensor after it", () => {
    const empty = '{"dtype":"F32","shape":[0],"data_offsets":[8,8]}';
    const half = (begin: number): string =>
      `{"dtype":"F32","shape":[2],"data_offsets":[${begin},${begin + 8}]}`;
    const { tensors: found } = parseSafetensors(file(`{"c":${half(8)},"e":${empty},"a":${half(0)}}`));
    expect([...found].map(([key, { data }]) => [key, data.length])).toEqual([
      ["c", 8],
      ["e", 0],
      ["a", 8],
    ]);
  });
});

describe("parseSafetensors, hostile input", () => {
  it("keeps names such as __proto__ out of every prototype", () => {
    const { tensors: found, metadata: text } = parseSafetensors(
      file(`{"__metadata__":{"__proto__":"x","constructor":"y"},"__proto__":{${A}}}`),
    );
    expect([...found.keys()]).toEqual(["__proto__"]);
    expect(text?.get("__proto__")).toBe("x");
    expect(Object.hasOwn(Object.prototype, "dtype")).toBe(false);
  });

  it("says what a truncated file should have had, and what it has", () => {
    const bytes = serializeSafetensors([["w", { dtype: "F32", shape: [4], data: new Float32Array(4) }]]);
    expect(() => parseSafetensors(bytes.subarray(0, -5))).toThrow(
      `the file is truncated: its header describes ${bytes.length} bytes, found ${bytes.length - 5}`,
    );
    for (let end = 0; end < bytes.length; end++) {
      expect(codeOf(() => parseSafetensors(bytes.subarray(0, end)))).toMatch(/too-short|truncated/);
    }
  });

  it("knows the pointer that a clone without Git LFS leaves", () => {
    const pointer = new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n");
    expect(() => parseSafetensors(pointer)).toThrow("it is a pointer of Git LFS, get the file with: git lfs pull");
  });

  it("prints no control character of a hostile name", () => {
    const bytes = file('{"\\u001b]0;x\\u0007\\u202e":{}}', 0);
    expect(() => parseSafetensors(bytes)).toThrow(/^[\x20-\x7e]*$/);
  });

  it("reads 100,000 tensors within seconds", () => {
    const empty: SafetensorsInput = { dtype: "F32", shape: [0, 3], data: new Uint8Array(0) };
    const bytes = serializeSafetensors(
      Array.from({ length: 100_000 }, (_, i) => [`layer.${i}.weight`, empty] as const),
    );
    const start = performance.now();
    expect(parseSafetensors(bytes).tensors.size).toBe(100_000);
    const milliseconds = performance.now() - start;
    console.log(`parseSafetensors: ${milliseconds.toFixed(0)} ms for 100,000 tensors`);
    expect(milliseconds).toBeLessThan(5000);
  });

  it("answers 2,000 mutated headers with tensors or a SafetensorsError, never anything else", () => {
    const seeds = [
      `{"__metadata__":{"format":"pt"},"a":{${A}}}`,
      `{"a":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]},"b\\n":{"dtype":"F4","shape":[16],"data_offsets":[8,16],"x":[1.5,{"y":null}]}}`,
    ];
    const fragment = fc.constantFrom(
      ...'{}[],:"\\-.0e9 \u0000\u007f',
      "null",
      '"F32"',
      "\\u0000",
      "\\ud800",
      "[[[[",
      "1e999",
    );
    const edit = fc.record({ at: fc.nat(200), remove: fc.nat(4), insert: fragment });
    let refused = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...seeds),
        fc.array(edit, { minLength: 1, maxLength: 3 }),
        (seed, edits) => {
          const mutate = (
            text: string,
            { at, remove, insert }: { at: number; remove: number; insert: string },
          ): string => text.slice(0, at) + insert + text.slice(at + remove);
          if (codeOf(() => parseSafetensors(file(edits.reduce(mutate, seed)))) !== "accepted") refused++;
        },
      ),
      { numRuns: 2000, seed: 20250611 },
    );
    expect(refused).toBeGreaterThan(1000);
  });
});
