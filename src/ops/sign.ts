import { defineOp } from "./define-op.ts";

/** Elementwise -1, 0 or 1; 0 for NaN, as in PyTorch. Its gradient is 0. */
export const sign = defineOp("sign", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = x[i] > 0 ? 1 : x[i] < 0 ? -1 : 0;
  },
  pointwise: "sign(x)",
  reads: {},
  vjp: () => ({ x: null }),
});
