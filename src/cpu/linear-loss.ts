import { giveArray, type PooledArray, takeArray, takeTemporary } from "../tensor/array-pool.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { gemm } from "./gemm.ts";
import { softmaxLossF32 } from "./rows.ts";
import { gemmStored, type Weight } from "./stored.ts";

/** Cross-entropy of `x · weightᵀ` and its cotangents. */
export interface LinearLoss {
  /** [rows, d] */
  readonly x: Float32Array;
  /** [v, d] */
  readonly weight: Weight;
  /** [rows]; rows with `ignoreIndex` are left out of everything. */
  readonly labels: TypedArray;
  readonly ignoreIndex: number;
  readonly d: number;
  readonly v: number;
  /** The cotangent of each row's loss. */
  readonly scale: number;
  /** Rows of logits that are held at a time. */
  readonly chunk: number;
  /** Receives the cotangent of x. */
  readonly dx: Float32Array | null;
  /** Receives the cotangent of the weight. */
  readonly dweight: Float32Array | null;
}

/**
 * The sum of the rows' losses, with the cotangents computed while each chunk's logits are at hand: two (with
 * `dweight` three) products in all. False where there are no kernels for it: then nothing useful was written.
 */
export function linearLossF32(loss: LinearLoss): number | false {
  const { labels, ignoreIndex, chunk, v, d } = loss;
  const counted = Int32Array.from(labels.keys()).filter((row) => labels[row] !== ignoreIndex);
  loss.dx?.fill(0);
  loss.dweight?.fill(0);
  const own = new Temporary();
  try {
    const size = Math.min(chunk, counted.length);
    const [logits, x, dx] = [own.take(size * v), own.take(size * d), own.take(size * d)];
    let total = 0;
    for (let start = 0; start < counted.length; start += chunk) {
      const part = counted.subarray(start, start + chunk);
      const sum = chunkLoss(loss, part, {
        logits: logits.subarray(0, part.length * v),
        x: x.subarray(0, part.length * d),
        dx: dx.subarray(0, part.length * d),
      });
      if (sum === false) return false;
      total += sum;
    }
    return total;
  } finally {
    own.give();
  }
}

interface ChunkArrays {
  readonly logits: Float32Array;
  readonly x: Float32Array;
  readonly dx: Float32Array;
}

/** The loss of some rows, whose cotangents are added. */
function chunkLoss(loss: LinearLoss, part: Int32Array, { logits, x, dx }: ChunkArrays): number | false {
  const { weight, labels, scale, d, v } = loss;
  const wantsCotangents = loss.dx !== null || loss.dweight !== null;
  const runs = [...runsOf(part)];
  for (const { at, row, count } of runs) x.set(loss.x.subarray(row * d, (row + count) * d), at * d);
  if (!multiply("NT", [part.length, v, d], x, weight, logits)) return false;
  const losses = new Float32Array(part.length);
  const isDone = softmaxLossF32({
    logits,
    labels: part.map((row) => labels[row]),
    scales: wantsCotangents ? new Float32Array(part.length).fill(scale) : null,
    v,
    loss: losses,
  });
  if (!isDone) return false;
  if (loss.dx) {
    const target = loss.dx;
    if (!multiply("NN", [part.length, d, v], logits, weight, dx)) return false;
    for (const { at, row, count } of runs) target.set(dx.subarray(at * d, (at + count) * d), row * d);
  }
  if (loss.dweight) gemm("TN", v, d, part.length, logits, x, loss.dweight, { accumulate: true });
  return losses.reduce((sum, value) => sum + value, 0);
}

/** The rows that follow each other: `count` rows from `row` on, at place `at` of the list. */
function* runsOf(rows: Int32Array): Generator<{ readonly at: number; readonly row: number; readonly count: number }> {
  for (let at = 0, next = 0; at < rows.length; at = next) {
    while (next < rows.length && rows[next] - rows[at] === next - at) next++;
    yield { at, row: rows[at], count: next - at };
  }
}

/** The product with a weight as it lies. False: not computed. */
function multiply(
  mode: "NT" | "NN", [m, n, k]: readonly [number, number, number], a: Float32Array, weight: Weight, out: Float32Array,
): boolean {
  if (weight.format !== "f32") return gemmStored(mode, m, n, k, a, weight, out);
  gemm(mode, m, n, k, a, weight.data, out);
  return true;
}

/** Arrays that are given back together. */
class Temporary {
  readonly #taken: PooledArray[] = [];

  take(length: number): Float32Array {
    const pooled = takeTemporary("f32", length) ?? takeArray("f32", length);
    this.#taken.push(pooled);
    return pooled.array as Float32Array;
  }

  give(): void {
    for (const pooled of this.#taken) giveArray("f32", pooled);
  }
}
