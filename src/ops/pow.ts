import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { equal } from "./equal.ts";
import { greaterEqual } from "./greater-equal.ts";
import { log } from "./log.ts";
import { logicalAnd } from "./logical-and.ts";
import { mul } from "./mul.ts";
import { sub } from "./sub.ts";
import { sumTo } from "./sum.ts";
import { where } from "./where.ts";

/**
 * Elementwise `a^b` with NumPy broadcasting; both may be tensors or numbers.
 *
 * Domain: a > 0 with any b, a = 0, and a < 0 with whole b (NaN otherwise). `x^0` and `1^x` are 1 for every x,
 * NaN too, as in C and PyTorch. The gradient by b is `y·log a`: 0 at a = 0 with b >= 0, NaN for a < 0.
 */
export const pow = defineOp("pow", "a[*], b[*] -> y[*]", {
  reference({ a, b }, y) {
    for (let i = 0; i < y.length; i++) {
      // ECMAScript leaves 1^NaN and (±1)^±Infinity NaN, where C says 1.
      const isOne = a[i] === 1 || (a[i] === -1 && Math.abs(b[i]) === Number.POSITIVE_INFINITY);
      y[i] = isOne ? 1 : a[i] ** b[i];
    }
  },
  helpers: /* wgsl */ `
fn power(a: V, b: V) -> V {
  let size = abs(a);
  var y = exp2(b * log2(size));
  y = select(y, select(V(0.0), V(1.0) / size, b < V(0.0)), size == V(0.0));
  y = select(y, V(1.0), size == V(1.0));
  let whole = floor(b) == b;
  let odd = whole & (V(2.0) * floor(V(0.5) * b) != b);
  y = select(y, -y, (bitcast<I>(a) < I(0)) & odd);
  let finite = bitcast<I>(size) < I(0x7f800000);
  y = select(y, bitcast<V>(bitcast<I>(a) | I(0x7fc00000)), (a < V(0.0)) & finite & !whole);
  return select(nan_or(a, nan_or(b, y)), V(1.0), (b == V(0.0)) | (a == V(1.0)));
}`,
  pointwise: "power(a, b)",
  reads: { a: ["a", "b"], b: ["a", "b", "output"] },
  vjp: ({ a, b }, dy, _attrs, y) => ({
    a: (): Tensor => sumTo(where(equal(b, 0), 0, mul(dy, mul(b, pow(a, sub(b, 1))))), a.shape),
    b: (): Tensor =>
      sumTo(where(logicalAnd(equal(a, 0), greaterEqual(b, 0)), 0, mul(dy, mul(y, log(a)))), b.shape),
  }),
  domain: { a: [0.5, 2] },
});
