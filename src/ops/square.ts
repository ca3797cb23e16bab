import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";

/** Elementwise `x²`. */
export const square = defineOp("square", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = x[i] * x[i];
  },
  pointwise: "x * x",
  reads: { x: ["x"] },
  vjp: ({ x }, dy) => ({ x: (): Tensor => mul(dy, mul(x, 2)) }),
});
