import { defineOp } from "./define-op.ts";
import { ORDERED } from "./wgsl-math.ts";

/**
 * Elementwise bool `a > b` with NumPy broadcasting; floats or integers of one dtype. False where a side is
 * NaN.
 */
export const greater = defineOp("greater", "a[*]:any, b[*]:any -> y[*]:bool", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = a[i] > b[i] ? 1 : 0;
  },
  helpers: ORDERED,
  pointwise: "select(I(0), ordered(V(a), V(b)), a > b)",
});
