import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";

/** Elementwise `1 / x`; an infinity at 0. */
export const reciprocal = defineOp("reciprocal", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = 1 / x[i];
  },
  pointwise: "V(1.0) / x",
  reads: { x: ["output"] },
  vjp: (_inputs, dy, _attrs, y) => ({ x: (): Tensor => neg(mul(dy, mul(y, y))) }),
  domain: { x: [0.5, 2] },
});
