import { add } from "./add.ts";
import { defineOp } from "./define-op.ts";
import { erf, erfOf } from "./erf.ts";
import { mul } from "./mul.ts";
import { tanh } from "./tanh.ts";
import { ERF, TANH } from "./wgsl-math.ts";

const ROOT_HALF = Math.SQRT1_2;
const ROOT_TWO_OVER_PI = Math.sqrt(2 / Math.PI);
const CUBIC = 0.044715;

/**
 * Elementwise Gaussian error linear unit `x · Φ(x)` (Hendrycks & Gimpel 2016). `approximate: "none"`
 * (default) uses erf, `"tanh"` is `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
 */
export const gelu = defineOp("gelu", "x[*] -> y[*]", {
  attrs: { approximate: { default: "none" as "none" | "tanh" } },
  check: (_dims, { approximate }) =>
    approximate === "none" || approximate === "tanh"
      ? null
      : `approximate must be "none" or "tanh", got "${String(approximate)}"`,
  params: (_shapes, { approximate }) => ({ byTanh: approximate === "tanh" ? 1 : 0 }),
  reference({ x }, y, _dims, { approximate }) {
    if (approximate === "tanh") {
      for (let i = 0; i < y.length; i++)
        y[i] = 0.5 * x[i] * (1 + Math.tanh(ROOT_TWO_OVER_PI * (x[i] + CUBIC * x[i] * x[i] * x[i])));
    } else {
      for (let i = 0; i < y.length; i++) y[i] = 0.5 * x[i] * (1 + erfOf(x[i] * ROOT_HALF));
    }
  },
  helpers: /* wgsl */ `${ERF}${TANH}
fn gate(x: V) -> V {
  if (dims.byTanh == 1u) { return tanh_of(V(${ROOT_TWO_OVER_PI}) * (x + V(${CUBIC}) * x * x * x)); }
  return erf_of(V(${ROOT_HALF}) * x);
}`,
  pointwise: "V(0.5) * x * (V(1.0) + gate(x))",
  decompose({ x }, { approximate }) {
    const gate =
      approximate === "tanh"
        ? tanh(mul(add(x, mul(mul(x, mul(x, x)), CUBIC)), ROOT_TWO_OVER_PI))
        : erf(mul(x, ROOT_HALF));
    return mul(mul(x, 0.5), add(gate, 1));
  },
  draw: (draw) => ({ shapes: { x: draw.shape() }, attrs: { approximate: draw.pick(["none", "tanh"]) } }),
});
