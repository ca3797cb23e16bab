import { quantizeBlocks } from "../tensor/blocks.ts";
import { isBlock, isHalf, type StoredFormat } from "../tensor/dtype.ts";
import { decode, encode } from "../tensor/stored-format.ts";
import { productFault, samples } from "./check-gemm.ts";
import { decodeRunsOn, type Packed, type Weight } from "./decode-runs.ts";
import type { Engine } from "./engine.ts";
import { fewRowsOn } from "./few-rows.ts";
import { multiplyParts } from "./packed-gemm.ts";
import type { WeightFormat } from "./wasm/stored-decoder.ts";

/** The weight: an odd number of rows, each of several blocks. */
const [OUTPUTS, INPUTS] = [7, 96];
/** Rows of x: some that are taken together, and one that is left. */
const ROWS = 5;

/**
 * Hold what reads weights of a format against scalar loops on a small ragged case: decoding to the bit, the product of few rows
 * and, decoded part by part, of many. Returns a sentence about the first wrong element, or null.
 */
export function storedFault(engine: Engine, format: WeightFormat): string | null {
  const values = samples(OUTPUTS * INPUTS, 1);
  if (format === "f32") return fewRowsFault(engine, { format, data: values }, values);
  const weight = { format, data: pack(format, values) };
  const plain = decode(format, weight.data);
  return (
    decodeFault(engine, weight, plain) ??
    fewRowsFault(engine, weight, plain) ??
    manyRowsFault(engine, "NT", weight, plain) ??
    manyRowsFault(engine, "NN", weight, plain)
  );
}

function pack(format: StoredFormat, values: Float32Array): Packed["data"] {
  const data = isHalf(format) ? encode(format, values) : quantizeBlocks(format, values);
  if (!data) throw new Error(`${format} does not hold numbers below 1`);
  return data;
}

function decodeFault(engine: Engine, weight: Packed, plain: Float32Array): string | null {
  const runs = isBlock(weight.format) ? { first: 32, length: 64, stride: 96 } : { first: 3, length: 61, stride: 96 };
  // The last run is not whole.
  const out = new Float32Array(4 * runs.length + 32);
  if (!decodeRunsOn(engine, weight, out, runs)) return null;
  const right = out.map((_, i) => plain[runs.first + Math.floor(i / runs.length) * runs.stride + (i % runs.length)]);
  const wrong = out.findIndex((value, i) => value !== right[i]);
  return wrong < 0 ? null : `decoded, element ${wrong} is ${out[wrong]}, not ${right[wrong]}`;
}

function fewRowsFault(engine: Engine, weight: Weight, plain: Float32Array): string | null {
  const x = samples(ROWS * INPUTS, 2);
  const y = new Float32Array(ROWS * OUTPUTS).fill(Number.NaN);
  if (!fewRowsOn(engine, x, weight, y, { rows: ROWS, m: OUTPUTS, k: INPUTS })) return null;
  return named("few rows", productFault("NT", { m: ROWS, n: OUTPUTS, k: INPUTS }, x, plain, y));
}

function manyRowsFault(engine: Engine, mode: "NT" | "NN", weight: Packed, plain: Float32Array): string | null {
  const [n, k] = mode === "NT" ? [OUTPUTS, INPUTS] : [INPUTS, OUTPUTS];
  const a = samples(ROWS * k, 3);
  const out = new Float32Array(ROWS * n).fill(Number.NaN);
  if (!multiplyParts(engine, { mode, m: ROWS, n, k, batch: 1 }, { a, b: weight, out, accumulate: false })) return null;
  return named(`many rows, ${mode}`, productFault(mode, { m: ROWS, n, k }, a, plain, out));
}

const named = (what: string, fault: string | null): string | null => fault && `${what}: ${fault}`;
