import { sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { reshape } from "./reshape.ts";

/** A tensor as a matrix of its last axis: x[*, d] -> [n, d]. Shares memory with `x`. */
export function rows(x: Tensor): Tensor {
  return x.rank === 2 ? x : reshape(x, { shape: [sizeOf(x.shape.slice(0, -1)), x.shape[x.rank - 1]] });
}
