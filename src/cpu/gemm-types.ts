/** How A (first letter) and B (second) are stored: N as they are multiplied, T transposed. */
export type GemmMode = "NN" | "NT" | "TN";

/**
 * `out[m, n] (+)= op(A)[m, k] · op(B)[k, n]`, all row-major, for each of `batch` (default 1) products. A is
 * stored [m, k] (TN: [k, m]), B [k, n] (NT: [n, k]). Implementations trust their arguments; `gemm` checks them.
 */
export type Gemm = (
  mode: GemmMode, m: number, n: number, k: number,
  a: Float32Array, b: Float32Array, out: Float32Array, accumulate: boolean, batch?: number,
) => void;
