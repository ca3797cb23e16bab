import { defineOp } from "./define-op.ts";

/** Elementwise bool: neither infinite nor NaN. */
// biome-ignore lint/suspicious/noShadowRestrictedNames: PyTorch's name; nothing here wants the global
export const isFinite = defineOp("isFinite", "x[*] -> y[*]:bool", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Number.isFinite(x[i]) ? 1 : 0;
  },
  pointwise: "select(I(0), I(1), (bitcast<I>(x) & I(0x7fffffff)) < I(0x7f800000))",
});
