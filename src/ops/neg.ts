import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";

/** Elementwise `-x`. */
export const neg = defineOp("neg", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = -x[i];
  },
  pointwise: "-x",
  reads: {},
  vjp: (_inputs, dy) => ({ x: (): Tensor => neg(dy) }),
});
