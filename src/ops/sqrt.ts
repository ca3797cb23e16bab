import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { div } from "./div.ts";
import { mul } from "./mul.ts";

/** Elementwise square root; NaN below 0. Its gradient at 0 is Infinity. */
export const sqrt = defineOp("sqrt", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.sqrt(x[i]);
  },
  pointwise: "sqrt(x)",
  reads: { x: ["output"] },
  vjp: (_inputs, dy, _attrs, y) => ({ x: (): Tensor => div(dy, mul(y, 2)) }),
  domain: { x: [0.1, 4] },
});
