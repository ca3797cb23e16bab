import { IGNORE_LABEL } from "../io/index.ts";
import { cast, concat, full, slice, tensor } from "../ops/index.ts";
import type { DType } from "../tensor/dtype.ts";
import { ArgumentError } from "../tensor/errors.ts";
import { formatShape, sameShape, type Shape } from "../tensor/shape.ts";
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

/** What a loss is taken at. */
export interface Targets {
  /** i32: of every position [batch, time], or [n] of those in `positions` */
  readonly labels: Tensor;
  /** i32 [n], row-major; null: all */
  readonly positions: Tensor | null;
}

/** Positions are picked where at most this share of them counts. */
const WORTH_PICKING = 3 / 4;
/** Their number is rounded up to a multiple of this, so that few sizes occur. */
const GROUP = 64;

/**
 * Labels, moved one position to the left so that each stands at the token that predicts it; the last position
 * gets -100. Where rows of numbers mostly hold -100, only the other positions are told of.
 *
 * @throws ArgumentError when they have another shape or a value is neither an id nor -100
 */
export function readTargets(rows: Rows, shape: Shape, vocabSize: number, device: Device): Targets {
  const rule = labelRule(vocabSize);
  if (rows instanceof Tensor) {
    const rest = slice(read(rows, rule, shape, device), { axis: 1, start: 1 });
    const last = full([shape[0], 1], IGNORE_LABEL, { dtype: "i32", device });
    return { labels: concat([rest, last], { axis: 1 }), positions: null };
  }
  const { values, shape: own } = numbersOf(rows, rule);
  checkShape(rule, own, shape);
  const time = shape[1];
  const shifted = values.map((_, i) => (i % time === time - 1 ? IGNORE_LABEL : values[i + 1]));
  const counted = [...shifted.keys()].filter((i) => shifted[i] !== IGNORE_LABEL);
  if (counted.length > WORTH_PICKING * shifted.length) {
    return { labels: tensor(shifted, { shape, dtype: "i32", device }), positions: null };
  }
  const length = Math.max(1, Math.ceil(counted.length / GROUP)) * GROUP;
  const labels = new Int32Array(length).fill(IGNORE_LABEL);
  const positions = new Int32Array(length);
  positions.set(counted);
  for (const [i, at] of counted.entries()) labels[i] = shifted[at];
  return { labels: tensor(labels, { device }), positions: tensor(positions, { device }) };
}

function read(rows: Rows, rule: Rule, shape: Shape | null, device: Device): Tensor {
  const values = rows instanceof Tensor ? checkedTensor(rows, rule) : fromRows(rows, rule, device);
  if (shape) checkShape(rule, values.shape, shape);
  return values;
}

function checkShape({ name }: Rule, actual: Shape, expected: Shape): void {
  if (sameShape(actual, expected)) return;
  throw new ArgumentError("forward", name, `${formatShape(expected)} like inputIds`, formatShape(actual));
}

const isRow = (row: unknown): boolean => Array.isArray(row) || row instanceof Int32Array;

function fromRows(rows: Exclude<Rows, Tensor>, rule: Rule, device: Device): Tensor {
  const { values, shape } = numbersOf(rows, rule);
  return tensor(values, { shape, dtype: rule.dtype, device });
}

/** Rows of one length, checked, one after the other. */
function numbersOf(rows: Exclude<Rows, Tensor>, rule: Rule): { readonly values: Int32Array<ArrayBuffer>; readonly shape: Shape } {
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
  return { values: flat, shape: [rows.length, time] };
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
