import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";
import { sign } from "./sign.ts";

/** Elementwise absolute value. Its gradient at 0 is 0. */
export const abs = defineOp("abs", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.abs(x[i]);
  },
  pointwise: "abs(x)",
  reads: { x: ["x"] },
  vjp: ({ x }, dy) => ({ x: (): Tensor => mul(dy, sign(x)) }),
});
