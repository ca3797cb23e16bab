import { defineOp } from "./define-op.ts";

/** Elementwise negation of a bool tensor. */
export const logicalNot = defineOp("logicalNot", "x[*]:bool -> y[*]:bool", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = 1 - x[i];
  },
  pointwise: "I(1) - x",
});
