import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";

/** Elementwise `1 / √x`; Infinity at 0, NaN below. */
export const rsqrt = defineOp("rsqrt", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = 1 / Math.sqrt(x[i]);
  },
  pointwise: "inverseSqrt(x)",
  reads: { x: ["output"] },
  vjp: (_inputs, dy, _attrs, y) => ({ x: (): Tensor => mul(dy, mul(mul(y, mul(y, y)), -0.5)) }),
  domain: { x: [0.1, 4] },
});
