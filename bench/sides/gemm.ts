import type { Round, Side } from "../harness/side.ts";
import { cast, type Device, linear, manualSeed, matmul, quantize, randn, type Tensor, tidy, to, type TypedArray } from "../../src/index.ts";
import { openSide } from "./open-side.ts";

/** A product of an [m, k] matrix with a matrix [k, n] (NN) or a weight [n, k] (NT, as in a Linear). */
export interface GemmOptions {
  readonly device: Device;
  readonly mode: "NN" | "NT";
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** How b lies in memory. Default f32. */
  readonly format?: "bf16" | "q8_0" | "q4_0";
  /** Also its gradients: products of m x n by the weight, and of its transpose by the input. */
  readonly backward?: boolean;
}

/** Times one product shape. Its facts give the error of the results; the last result of every round must be the first one again, but for rounding. */
export async function gemm(options: GemmOptions): Promise<Side> {
  const { device, mode, m, n, k, format, backward = false } = options;
  const facts = await openSide(device);
  manualSeed(1);
  const [a, dy] = [randn([m, k]), randn([m, n])];
  const b = await to(stored(randn(mode === "NN" ? [k, n] : [n, k], { device: "cpu" }), format), device);
  a.requiresGrad = backward;
  b.requiresGrad = backward;
  const product = (): Tensor => (mode === "NN" ? matmul(a, b) : linear(a, b));
  const work = (): Tensor => {
    const y = product();
    if (backward) y.backward({ gradient: dy });
    return y;
  };
  const y = work();
  const error = await errorOf(options, { a, b, dy, y });
  const first = await y.data();
  const timed = device === "cpu" ? timeEach(work) : timeTogether(work);
  const run = async (count: number): Promise<Round> => {
    const { times, last } = await timed(count);
    if (!last.every((value, i) => Math.abs(value - first[i]) <= 1e-4 * (1 + Math.abs(first[i])))) throw new Error("the product is another one than at first");
    return { times };
  };
  return { facts: { ...facts, error }, run };
}

function stored(x: Tensor, format: GemmOptions["format"]): Tensor {
  if (format === undefined) return x;
  return format === "bf16" ? cast(x, { dtype: format }) : quantize(x, { format });
}

interface Timed extends Round {
  /** The last product. */
  readonly last: TypedArray;
}

/** A product on the CPU is done when the call returns. */
const timeEach =
  (work: () => Tensor) =>
  async (count: number): Promise<Timed> => {
    const times: number[] = [];
    let last = new Float32Array() as TypedArray;
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      const y = work();
      times.push(performance.now() - start);
      if (i === count - 1) last = await y.data();
      y.dispose();
    }
    return { times, last };
  };

/** Products on a GPU are queued, and waited for together. */
const timeTogether =
  (work: () => Tensor) =>
  async (count: number): Promise<Timed> => {
    const start = performance.now();
    const y = tidy(() => {
      for (let i = 1; i < count; i++) work();
      return work();
    });
    const last = await y.data();
    const times = [(performance.now() - start) / count];
    y.dispose();
    return { times, last };
  };

/** Largest deviation of a few elements of product and gradients from their f64 values, over the largest of each matrix. */
async function errorOf({ mode, m, n, k }: GemmOptions, tensors: Readonly<Record<"a" | "b" | "dy" | "y", Tensor>>): Promise<number> {
  const { a, b, dy, y } = tensors;
  const [x, w, z, g] = await Promise.all([a, b, y, dy].map((tensor) => tensor.data()));
  const weight = (row: number, column: number): number => (mode === "NN" ? w[row * n + column] : w[column * k + row]);
  const checks = [deviation(z, m, n, k, (i, j, q) => x[i * k + q] * weight(q, j))];
  if (a.grad) checks.push(deviation(await a.grad.data(), m, k, n, (i, j, q) => g[i * n + q] * weight(j, q)));
  if (b.grad && mode === "NT") checks.push(deviation(await b.grad.data(), n, k, m, (i, j, q) => g[q * n + i] * x[q * k + j]));
  return Math.max(...checks);
}

type Term = (row: number, column: number, step: number) => number;

function deviation(result: ArrayLike<number>, rows: number, columns: number, steps: number, term: Term): number {
  let [worst, largest] = [0, 0];
  const places = [[0, 0], [rows >> 1, columns >> 1], [rows - 1, 0], [rows >> 2, columns - 1], [rows - 1, columns - 1]];
  for (const [row, column] of places) {
    let exact = 0;
    for (let step = 0; step < steps; step++) exact += term(row, column, step);
    worst = Math.max(worst, Math.abs(exact - result[row * columns + column]));
    largest = Math.max(largest, Math.abs(exact));
  }
  return worst / largest;
}
