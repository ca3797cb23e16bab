import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { equal } from "./equal.ts";
import { less } from "./less.ts";
import { mul } from "./mul.ts";
import { sumTo } from "./sum.ts";
import { where } from "./where.ts";

/**
 * Elementwise larger of two with NumPy broadcasting; NaN wins. A tie gives each side half of the gradient.
 */
export const maximum = defineOp("maximum", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.max(a[i], b[i]);
  },
  pointwise: "nan_or(a, nan_or(b, max(a, b)))",
  reads: { a: ["a", "b"], b: ["a", "b"] },
  vjp({ a, b }, dy) {
    const share = (): Tensor => where(equal(a, b), mul(dy, 0.5), dy);
    return {
      a: (): Tensor => sumTo(where(less(a, b), 0, share()), a.shape),
      b: (): Tensor => sumTo(where(less(b, a), 0, share()), b.shape),
    };
  },
});
