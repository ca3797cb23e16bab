import { quote } from "./quote.ts";
import { isSafetensorsDType, type SafetensorsDType } from "./safetensors-dtypes.ts";
import { SafetensorsError } from "./safetensors-error.ts";
import { JsonReader } from "./safetensors-json.ts";

/** The reference's limit on the header, in bytes. */
export const MAX_HEADER_BYTES = 100_000_000;

/** The most dimensions a tensor may have here; the reference sets no limit. */
export const MAX_RANK = 64;

/** The header's key that holds text about the file instead of a tensor. */
export const METADATA_KEY = "__metadata__";

/** True if `name` holds a C0 or C1 control character. */
export function hasControlCharacter(name: string): boolean {
  return /\p{Cc}/u.test(name);
}

/**
 * One tensor as the header declares it, not yet checked against the data; `begin` and `end` are data offsets.
 */
export interface HeaderEntry {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly bigint[];
  readonly begin: bigint;
  readonly end: bigint;
}

/** What a header says. `metadata` is null if there is none. */
export interface Header {
  readonly entries: readonly HeaderEntry[];
  readonly metadata: Map<string, string> | null;
}

/**
 * Read the JSON of a safetensors header: checks syntax, types, names, dtypes and ranks, no sizes or offsets.
 */
export function parseHeader(text: string): Header {
  if (!text.startsWith("{")) {
    throw new SafetensorsError(
      "header-start",
      `the header must begin with "{", got ${quote(text.slice(0, 1))}`,
    );
  }
  const reader = new JsonReader(text);
  const names = new Set<string>();
  const header: { entries: HeaderEntry[]; metadata: Map<string, string> | null } = {
    entries: [],
    metadata: null,
  };
  reader.object("an object", (name) => {
    if (names.has(name)) reader.fail("duplicate-name", `two entries are called ${quote(name)}`);
    names.add(name);
    if (name === METADATA_KEY) header.metadata = readMetadata(reader);
    else header.entries.push(readEntry(reader, name));
  });
  reader.end();
  return header;
}

function readMetadata(reader: JsonReader): Map<string, string> | null {
  if (reader.takeNull()) return null;
  const metadata = new Map<string, string>();
  reader.object(`an object of strings as ${METADATA_KEY}`, (key) => {
    if (metadata.has(key)) {
      reader.fail("duplicate-name", `two entries of ${METADATA_KEY} are called ${quote(key)}`);
    }
    metadata.set(key, reader.string(`a string in ${METADATA_KEY}`));
  });
  return metadata;
}

function readEntry(reader: JsonReader, name: string): HeaderEntry {
  reader.tensor = name;
  if (hasControlCharacter(name)) reader.fail("control-character", "a control character in the tensor's name");
  const found: { dtype?: SafetensorsDType; shape?: bigint[]; data_offsets?: [bigint, bigint] } = {};
  reader.object("an object as a tensor's entry", (field) => {
    if (Object.hasOwn(found, field)) reader.fail("duplicate-field", `a second field ${field}`);
    if (field === "dtype") found.dtype = readDType(reader);
    else if (field === "shape") found.shape = readShape(reader);
    else if (field === "data_offsets") found.data_offsets = readOffsets(reader);
    else reader.skip(2);
  });
  const { dtype, shape, data_offsets } = found;
  if (dtype === undefined) return reader.fail("missing-field", "no field dtype");
  if (shape === undefined) return reader.fail("missing-field", "no field shape");
  if (data_offsets === undefined) return reader.fail("missing-field", "no field data_offsets");
  reader.tensor = undefined;
  return { name, dtype, shape, begin: data_offsets[0], end: data_offsets[1] };
}

function readDType(reader: JsonReader): SafetensorsDType {
  const dtype = reader.string("a string as dtype");
  return isSafetensorsDType(dtype)
    ? dtype
    : reader.fail("unknown-dtype", `the unknown dtype ${quote(dtype)}`);
}

function readShape(reader: JsonReader): bigint[] {
  const shape: bigint[] = [];
  reader.array("an array as shape", () => {
    if (shape.length === MAX_RANK) reader.fail("rank-too-high", `more than ${MAX_RANK} dimensions`);
    shape.push(reader.unsigned("a whole number as dimension"));
  });
  return shape;
}

function readOffsets(reader: JsonReader): [bigint, bigint] {
  const what = "two whole numbers as data_offsets";
  const offsets: bigint[] = [];
  reader.array(what, () => {
    if (offsets.length === 2) reader.fail("header-type", `expected ${what}, got more`);
    offsets.push(reader.unsigned(what));
  });
  const [begin, end] = offsets;
  if (begin === undefined || end === undefined) {
    return reader.fail("header-type", `expected ${what}, got fewer`);
  }
  return [begin, end];
}
