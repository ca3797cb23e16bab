import { defineOp } from "./define-op.ts";

/** Elementwise conjunction of bool tensors, with NumPy broadcasting. */
export const logicalAnd = defineOp("logicalAnd", "a[*]:bool, b[*]:bool -> y[*]:bool", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = a[i] & b[i];
  },
  pointwise: "a & b",
});
