import { expect } from "vitest";
import { randn, tensor } from "../../src/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

/** The elements. */
export const values = (t: Tensor): number[] => [...t.dataSync()];
/** An i32 tensor. */
export const ids = (data: number[]): Tensor => tensor(data, { dtype: "i32" });
/** The same tensor, requiring a gradient. */
export const leaf = (t: Tensor): Tensor => Object.assign(t, { requiresGrad: true });
/** Normal random numbers that require a gradient. */
export const normal = (...shape: number[]): Tensor => leaf(randn(shape));

/** Largest difference of two tensors of one shape. */
export function distance(a: Tensor, b: Tensor): number {
  expect(a.shape).toEqual(b.shape);
  const [x, y] = [values(a), values(b)];
  return x.reduce((most, value, i) => Math.max(most, Math.abs(value - y[i])), 0);
}
