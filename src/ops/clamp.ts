import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { greaterEqual } from "./greater-equal.ts";
import { lessEqual } from "./less-equal.ts";
import { logicalAnd } from "./logical-and.ts";
import { where } from "./where.ts";

/**
 * Elementwise `min(max(x, min), max)`; a missing bound does not bound, and NaN stays NaN. The gradient passes
 * where `min <= x <= max`, the bounds included. With `min > max` every element is `max`.
 */
export const clamp = defineOp("clamp", "x[*] -> y[*]", {
  attrs: { min: [Number.NEGATIVE_INFINITY, [-2, 0.5]], max: [Number.POSITIVE_INFINITY, [0, 2]] },
  reference({ x }, y, _dims, { min, max }) {
    for (let i = 0; i < y.length; i++) y[i] = Math.min(Math.max(x[i], min), max);
  },
  pointwise: "nan_or(x, min(max(x, V(dims.min)), V(dims.max)))",
  reads: { x: ["x"] },
  vjp: ({ x }, dy, { min, max }) => ({
    x: (): Tensor => where(logicalAnd(greaterEqual(x, min), lessEqual(x, max)), dy, 0),
  }),
});
