import { PolargradError } from "../tensor/errors.ts";

/**
 * What is wrong with a safetensors file, or with what was asked to be written:
 *
 * - `file-too-short`: fewer than the 8 bytes of the header length
 * - `header-too-large`: the header claims more than 100,000,000 bytes
 * - `header-truncated`: the file ends inside its header
 * - `header-not-utf8`, `header-not-json`: the header is not text, or not strict JSON (trailing bytes, bad
 *   numbers …)
 * - `header-start`: the header does not begin with `{`
 * - `header-too-deep`: JSON nested deeper than 127 levels
 * - `header-type`: valid JSON of the wrong type, e.g. a shape that is a string or `4.0`
 * - `missing-field`, `duplicate-field`: `dtype`, `shape`, `data_offsets` must each be there once
 * - `duplicate-name`, `control-character`: a tensor or metadata name twice, a tensor name with control
 *   characters
 * - `reserved-name`: a tensor to write is called `__metadata__`
 * - `unknown-dtype`: not a dtype of the format
 * - `rank-too-high`: more than 64 dimensions
 * - `size-overflow`: the shape's size in bits does not fit 64 bits
 * - `size-not-whole-bytes`: a 4- or 6-bit tensor that ends inside a byte
 * - `size-mismatch`: shape and dtype ask for another number of bytes than there are
 * - `offset-gap`: tensors overlap, leave a hole, or end before they begin
 * - `data-truncated`, `data-trailing`: the file ends before, or after, the last tensor
 * - `bad-value`: what is to be written cannot be: a dimension that is no count, text that is no Unicode
 */
export type SafetensorsErrorCode =
  | "file-too-short"
  | "header-too-large"
  | "header-truncated"
  | "header-not-utf8"
  | "header-not-json"
  | "header-start"
  | "header-too-deep"
  | "header-type"
  | "missing-field"
  | "duplicate-field"
  | "duplicate-name"
  | "control-character"
  | "reserved-name"
  | "unknown-dtype"
  | "rank-too-high"
  | "size-overflow"
  | "size-not-whole-bytes"
  | "size-mismatch"
  | "offset-gap"
  | "data-truncated"
  | "data-trailing"
  | "bad-value";

/** Where in a file, and what was expected against what was found. Sizes are in bytes. */
export interface SafetensorsErrorDetail {
  readonly tensor?: string | undefined;
  readonly file?: string | undefined;
  readonly expected?: string | number | undefined;
  readonly got?: string | number | undefined;
}

/** A safetensors file that is refused, or a set of tensors that cannot be written as one. */
export class SafetensorsError extends PolargradError {
  override readonly name = "SafetensorsError";
  readonly code: SafetensorsErrorCode;
  /** The sentence without the file's name. */
  readonly reason: string;
  readonly tensor: string | undefined;
  readonly file: string | undefined;
  readonly expected: string | number | undefined;
  readonly got: string | number | undefined;

  constructor(code: SafetensorsErrorCode, reason: string, detail: SafetensorsErrorDetail = {}) {
    super(detail.file === undefined ? `safetensors: ${reason}` : `${detail.file}: ${reason}`);
    this.code = code;
    this.reason = reason;
    this.tensor = detail.tensor;
    this.file = detail.file;
    this.expected = detail.expected;
    this.got = detail.got;
  }

  /** The same error with the name of the file that it is about. */
  inFile(file: string): SafetensorsError {
    const { tensor, expected, got } = this;
    return new SafetensorsError(this.code, this.reason, { tensor, expected, got, file });
  }
}
