import { IGNORE_LABEL } from "../io/index.ts";
import { cast, concat, full, slice, tensor } from "../ops/index.ts";
import type { DType } from "../tensor/dtype.ts";
import { ArgumentError } from "../tensor/errors.ts";
import { formatShape, type Shape } from "../tensor/shape.ts";
import type { Device } from "../tensor/storage.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Whole numbers in rows of one length, or a tensor [batch, time]. */
export type Rows = readonly (readonly number[] | Int32Array)[] | Tensor;

/** What the values of an input must be. */
interface Rule {
  readonly name: string;
  readonly dtype: "i32" | "bool";
  readonly expected: string;
  accepts(value: number): boolean;
}

const idRule = (vocabSize: number): Rule => ({
  name: "inputIds",
  dtype: "i32",
  expected: `an id from 0 to ${vocabSize - 1} (the vocabulary has ${vocabSize})`,
  accepts: (id) => Number.isInteger(id) && id >= 0 && id < vocabSize,
});

const labelRule = (vocabSize: number): Rule => ({
  name: "labels",
  dtype: "i32",
  expected: `${IGNORE_LABEL} or an id from 0 to ${vocabSize - 1} (the vocabulary has ${vocabSize})`,
  accepts: (id) => id === IGNORE_LABEL || (Number.isInteger(id) && id >= 0 && id < vocabSize),
});

const MASK_RULE: Rule = {
  name: "attentionMask",
  dtype: "bool",
  expected: "0 (padding) or 1 (a token)",
  accepts: (value) => value === 0 || value === 1,
};

/**
 * Token ids as i32 [batch, time].
 *
 * @throws ArgumentError when there are none, rows differ in length or an id is out of range
 */
export function readIds(rows: Rows, vocabSize: number, device: Device): Tensor {
  const ids = read(rows, idRule(vocabSize), null, device);
  if (ids.size > 0) return ids;
  throw new ArgumentError(
    "forward",
    "inputIds",
    "at least one row of at least one id",
    formatShape(ids.shape),
  );
}

/**
 * An attention mask as bool of `shape`.
 *
 * @throws ArgumentError when it has another shape or values other than 0 and 1
 */
export const readMask = (rows: Rows, shape: Shape, device: Device): Tensor =>
  read(rows, MASK_RULE, shape, device);

/**
 * Labels, moved one position to the left so that each stands at the token that predicts it; the last position
 * gets -100. i32 of `shape`.
 *
 * @throws ArgumentError when they have another shape or a value is neither an id nor -100
 */
export function readShiftedLabels(rows: Rows, shape: Shape, vocabSize: number, device: Device): Tensor {
  const labels = read(rows, labelRule(vocabSize), shape, device);
  const rest = slice(labels, { axis: 1, start: 1 });
  return concat([rest, full([shape[0], 1], IGNORE_LABEL, { dtype: "i32", device })], { axis: 1 });
}

function read(rows: Rows, rule: Rule, shape: Shape | null, device: Device): Tensor {
  const values = rows instanceof Tensor ? checkedTensor(rows, rule) : fromRows(rows, rule, device);
  if (shape && formatShape(values.shape) !== formatShape(shape)) {
    throw new ArgumentError(
      "forward",
      rule.name,
      `${formatShape(shape)} like inputIds`,
      formatShape(values.shape),
    );
  }
  return values;
}

const isRow = (row: unknown): boolean => Array.isArray(row) || row instanceof Int32Array;

function fromRows(rows: Exclude<Rows, Tensor>, rule: Rule, device: Device): Tensor {
  if (!Array.isArray(rows) || !rows.every(isRow)) {
    const found = rows === undefined || rows === null ? String(rows) : `${kindOf(rows)} of ${kindOf(rows[0])}`;
    throw new ArgumentError(
      "forward",
      rule.name,
      "an array of rows of numbers, or a tensor",
      found,
      "wrap a single row: [row]",
    );
  }
  const time = rows[0]?.length ?? 0;
  const flat = new Int32Array(rows.length * time);
  rows.forEach((row: readonly number[] | Int32Array, b) => {
    if (row.length !== time) {
      const advice = "pad the rows to one length and pass an attentionMask";
      throw new ArgumentError(
        "forward",
        `${rule.name}[${b}]`,
        `of length ${time} like the first row`,
        `${row.length}`,
        advice,
      );
    }
    row.forEach((value: number, t) => {
      if (!rule.accepts(value)) throw refused(rule, b, t, value);
      flat[b * time + t] = value;
    });
  });
  return tensor(flat, { shape: [rows.length, time], dtype: rule.dtype, device });
}

/** Values of tensors on a GPU are not looked at: the embedding of a wrong id is NaN there. */
function checkedTensor(rows: Tensor, rule: Rule): Tensor {
  const dtypes: readonly DType[] = rule.dtype === "bool" ? ["bool", "i32"] : ["i32"];
  if (rows.rank !== 2 || !dtypes.includes(rows.dtype)) {
    throw new ArgumentError(
      "forward",
      rule.name,
      `a tensor [batch, time] of ${dtypes.join(" or ")}`,
      String(rows),
    );
  }
  if (rows.device === "cpu") {
    const wrong = rows.dataSync().findIndex((value) => !rule.accepts(value));
    if (wrong >= 0)
      throw refused(rule, Math.floor(wrong / rows.shape[1]), wrong % rows.shape[1], rows.dataSync()[wrong]);
  }
  return rows.dtype === rule.dtype ? rows : cast(rows, { dtype: rule.dtype });
}

const refused = ({ name, expected }: Rule, row: number, column: number, value: number): ArgumentError =>
  new ArgumentError("forward", `${name}[${row}][${column}]`, expected, describe(value));

/** A number as it is, anything else with its type, which its text may hide. */
const describe = (value: unknown): string =>
  typeof value === "number" || typeof value === "boolean" ? `${value}` : `${String(value)} (a ${typeof value})`;

const kindOf = (value: unknown): string =>
  typeof value === "object" && value !== null ? value.constructor.name : typeof value;
