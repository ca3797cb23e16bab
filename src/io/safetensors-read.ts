import { quote } from "./quote.ts";
import type { SafetensorsDType } from "./safetensors-dtypes.ts";
import { SafetensorsError } from "./safetensors-error.ts";
import { type HeaderEntry, MAX_HEADER_BYTES, parseHeader } from "./safetensors-header.ts";
import { tensorByteLength } from "./safetensors-size.ts";

const LENGTH_BYTES = 8;

/**
 * A tensor of a file: `data` is exactly its bytes, little-endian and row-major, a view into the bytes parsed.
 */
export interface SafetensorsTensor {
  readonly dtype: SafetensorsDType;
  readonly shape: number[];
  readonly data: Uint8Array;
}

/** A parsed file: its tensors in the header's order, and its `__metadata__` (null if it has none). */
export interface SafetensorsFile {
  readonly tensors: Map<string, SafetensorsTensor>;
  readonly metadata: Map<string, string> | null;
}

/**
 * Read a safetensors file from its bytes without copying the data. Nothing is allocated for what a header
 * claims before all of it is checked: strict JSON, offsets without holes or overlaps, and a file that ends
 * with its last tensor.
 *
 * It accepts no file that the reference (safetensors 0.8.0) refuses, and refuses these, which the reference
 * accepts:
 * - two tensors, or two metadata entries, of one name;
 * - white space before the header's `{`;
 * - control characters (U+0000–U+001F, U+007F–U+009F) in a tensor name;
 * - more than 64 dimensions;
 * - a tensor's entry written as an array instead of an object, a dtype written as an object instead of a
 *   string;
 * - a number of 1.797e308 or more in a field that the format does not know.
 *
 * A dimension above 2⁵³, which only an empty tensor can have, is rounded to the nearest number.
 *
 * @throws SafetensorsError for every file that it refuses
 */
export function parseSafetensors(bytes: Uint8Array): SafetensorsFile {
  const dataStart = LENGTH_BYTES + headerLength(bytes);
  const { entries, metadata } = parseHeader(decodeHeader(bytes.subarray(LENGTH_BYTES, dataStart)));
  checkLayout(entries, bytes.byteLength - dataStart, bytes.byteLength);
  const tensors = new Map<string, SafetensorsTensor>();
  for (const { name, dtype, shape, begin, end } of entries) {
    const data = new Uint8Array(
      bytes.buffer,
      bytes.byteOffset + dataStart + Number(begin),
      Number(end - begin),
    );
    tensors.set(name, { dtype, shape: shape.map(Number), data });
  }
  return { tensors, metadata };
}

/** Length of the header in bytes, checked against the file. */
/** How the text "version " of a Git LFS pointer, left by a clone without LFS, reads as a length. */
const LFS_POINTER = 0x206e_6f69_7372_6576n;

function headerLength(bytes: Uint8Array): number {
  const got = bytes.byteLength;
  if (got < LENGTH_BYTES) {
    const why = `the file has ${got} bytes, fewer than the 8 that every safetensors file begins with`;
    throw new SafetensorsError("file-too-short", why, { expected: LENGTH_BYTES, got });
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) {
    const advice = length === LFS_POINTER ? "; it is a pointer of Git LFS, get the file with: git lfs pull" : "";
    const why = `the header claims ${length} bytes, at most ${MAX_HEADER_BYTES} are allowed${advice}`;
    throw new SafetensorsError("header-too-large", why, { expected: MAX_HEADER_BYTES, got: String(length) });
  }
  const expected = LENGTH_BYTES + Number(length);
  if (expected > got) {
    const why = `the file is truncated inside its header: expected at least ${expected} bytes, found ${got}`;
    throw new SafetensorsError("header-truncated", why, { expected, got });
  }
  return Number(length);
}

function decodeHeader(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new SafetensorsError("header-not-utf8", "the header is not valid UTF-8");
  }
}

/**
 * The tensors, sorted by offset, must tile the data section exactly, each with the bytes that its shape asks
 * for.
 */
function checkLayout(entries: readonly HeaderEntry[], dataBytes: number, fileBytes: number): void {
  const sorted = entries.toSorted((a, b) => compare(a.begin, b.begin) || compare(a.end, b.end));
  let at = 0n;
  for (const { name, dtype, shape, begin, end } of sorted) {
    if (begin !== at || end < begin) {
      const why = `tensor ${quote(name)} spans data bytes ${begin} to ${end}, but must begin at ${at}`;
      throw new SafetensorsError("offset-gap", why, {
        tensor: name,
        expected: String(at),
        got: String(begin),
      });
    }
    const expected = tensorByteLength(name, dtype, shape);
    if (end - begin !== expected) {
      const why = `tensor ${quote(name)} (${dtype} [${shape}]) needs ${expected} bytes, got ${end - begin}`;
      const detail = { tensor: name, expected: String(expected), got: String(end - begin) };
      throw new SafetensorsError("size-mismatch", why, detail);
    }
    at = end;
  }
  const expected = BigInt(fileBytes - dataBytes) + at;
  if (expected > BigInt(fileBytes)) {
    const why = `the file is truncated: its header describes ${expected} bytes, found ${fileBytes}`;
    throw new SafetensorsError("data-truncated", why, { expected: String(expected), got: fileBytes });
  }
  if (expected < BigInt(fileBytes)) {
    const why = `the file goes on after its last tensor: expected ${expected} bytes, found ${fileBytes}`;
    throw new SafetensorsError("data-trailing", why, { expected: String(expected), got: fileBytes });
  }
}

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);
