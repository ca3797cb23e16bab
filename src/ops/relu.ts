import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { lessEqual } from "./less-equal.ts";
import { where } from "./where.ts";

/** Elementwise `max(x, 0)`; NaN stays NaN. Its gradient at 0 is 0. */
export const relu = defineOp("relu", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.max(x[i], 0);
  },
  pointwise: "nan_or(x, max(x, V(0.0)))",
  reads: { x: ["x"] },
  vjp: ({ x }, dy) => ({ x: (): Tensor => where(lessEqual(x, 0), 0, dy) }),
});
