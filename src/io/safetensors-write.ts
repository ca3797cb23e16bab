import { quote, quoteValue } from "./quote.ts";
import { dtypeRank, isSafetensorsDType, type SafetensorsDType } from "./safetensors-dtypes.ts";
import { SafetensorsError } from "./safetensors-error.ts";
import { hasControlCharacter, MAX_HEADER_BYTES, MAX_RANK, METADATA_KEY } from "./safetensors-header.ts";
import { tensorByteLength } from "./safetensors-size.ts";

const LENGTH_BYTES = 8;
const HEADER_ALIGNMENT = 8;

/**
 * A tensor to write. `data` is any array or byte view whose bytes are the tensor's, little-endian and
 * row-major.
 */
export interface SafetensorsInput {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly data: ArrayBufferView;
}

/** Text about a file, as a plain object or a Map. */
export type SafetensorsMetadata = Readonly<Record<string, string>> | ReadonlyMap<string, string>;

interface Item extends SafetensorsInput {
  readonly name: string;
  readonly nameBytes: Uint8Array;
}

/**
 * The bytes of a safetensors file, equal to the reference's for the same input: compact header,
 * `__metadata__` first, tensors by dtype (wider alignment first) and then by the bytes of their names, the
 * header padded with spaces to a multiple of 8. Several metadata entries are sorted by key (the reference's
 * order is random). For no tensors and empty metadata, where safetensors 0.8.0 writes broken JSON, the file
 * is valid.
 *
 * @throws SafetensorsError for what `parseSafetensors` would refuse to read back
 */
export function serializeSafetensors(
  tensors: Iterable<readonly [string, SafetensorsInput]>,
  metadata?: SafetensorsMetadata | null,
): Uint8Array {
  const items = sortedItems(tensors);
  const header = encodeHeader(items, metadata);
  const dataBytes = items.reduce((sum, { data }) => sum + data.byteLength, 0);
  const file = new Uint8Array(LENGTH_BYTES + header.byteLength + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.byteLength), true);
  file.set(header, LENGTH_BYTES);
  let at = LENGTH_BYTES + header.byteLength;
  for (const { data } of items) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

function sortedItems(tensors: Iterable<readonly [string, SafetensorsInput]>): Item[] {
  const encoder = new TextEncoder();
  const items: Item[] = [];
  const names = new Set<string>();
  for (const [name, { dtype, shape, data }] of tensors) {
    checkName(name, names);
    names.add(name);
    checkSize(name, dtype, shape, data.byteLength);
    items.push({ name, dtype, shape, data, nameBytes: encoder.encode(name) });
  }
  return items.sort(
    (a, b) => dtypeRank(a.dtype) - dtypeRank(b.dtype) || compareBytes(a.nameBytes, b.nameBytes),
  );
}

function encodeHeader(items: readonly Item[], metadata: SafetensorsMetadata | null | undefined): Uint8Array {
  const fields: string[] = [];
  if (metadata) fields.push(`"${METADATA_KEY}":${encodeMetadata(metadata)}`);
  let at = 0;
  for (const { name, dtype, shape, data } of items) {
    const offsets = `[${at},${at + data.byteLength}]`;
    fields.push(`${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":${offsets}}`);
    at += data.byteLength;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const header = new Uint8Array(Math.ceil(json.byteLength / HEADER_ALIGNMENT) * HEADER_ALIGNMENT).fill(0x20);
  header.set(json);
  if (header.byteLength > MAX_HEADER_BYTES) {
    const why = `the header would take ${header.byteLength} bytes, more than the ${MAX_HEADER_BYTES} allowed`;
    throw new SafetensorsError("header-too-large", why, {
      expected: MAX_HEADER_BYTES,
      got: header.byteLength,
    });
  }
  return header;
}

function encodeMetadata(metadata: SafetensorsMetadata): string {
  const encoder = new TextEncoder();
  const pairs = metadata instanceof Map ? [...metadata] : Object.entries(metadata);
  const fields = pairs.map(([key, value]: [string, unknown]) => {
    if (typeof value !== "string" || !isUnicode(value) || !isUnicode(key)) {
      const why = `metadata ${quote(key)} must be Unicode text, got ${quoteValue(value)}`;
      throw new SafetensorsError("bad-value", why, { expected: "a string", got: typeof value });
    }
    return { key: encoder.encode(key), json: `${JSON.stringify(key)}:${JSON.stringify(value)}` };
  });
  fields.sort((a, b) => compareBytes(a.key, b.key));
  return `{${fields.map(({ json }) => json).join(",")}}`;
}

function checkName(tensor: string, names: ReadonlySet<string>): void {
  const refuse = (
    code: "reserved-name" | "duplicate-name" | "control-character" | "bad-value",
    why: string,
  ): never => {
    throw new SafetensorsError(code, `${why} ${quote(tensor)}`, { tensor });
  };
  if (tensor === METADATA_KEY) refuse("reserved-name", "no tensor may be called");
  if (names.has(tensor)) refuse("duplicate-name", "there are two tensors called");
  if (hasControlCharacter(tensor)) refuse("control-character", "a control character in the tensor name");
  if (!isUnicode(tensor)) refuse("bad-value", "half of a surrogate pair in the tensor name");
}

function checkSize(tensor: string, dtype: string, shape: readonly number[], got: number): void {
  if (!isSafetensorsDType(dtype)) {
    const why = `tensor ${quote(tensor)} has the unknown dtype ${quote(dtype)}`;
    throw new SafetensorsError("unknown-dtype", why, { tensor, got: dtype });
  }
  if (shape.length > MAX_RANK) {
    const why = `tensor ${quote(tensor)} has ${shape.length} dimensions, more than ${MAX_RANK}`;
    throw new SafetensorsError("rank-too-high", why, { tensor, expected: MAX_RANK, got: shape.length });
  }
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    const why = `tensor ${quote(tensor)} has the shape [${shape}], expected whole numbers, 0 or more`;
    throw new SafetensorsError("bad-value", why, { tensor, got: `[${shape}]` });
  }
  const expected = Number(tensorByteLength(tensor, dtype, shape.map(BigInt)));
  if (expected === got) return;
  const why = `tensor ${quote(tensor)} (${dtype} [${shape}]) needs ${expected} bytes, its data has ${got}`;
  throw new SafetensorsError("size-mismatch", why, { tensor, expected, got });
}

/** False for text with half of a surrogate pair, which UTF-8 cannot hold. */
const isUnicode = (text: string): boolean => !/\p{Surrogate}/u.test(text);

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}
