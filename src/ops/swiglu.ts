import { swigluDgateF32, swigluF32 } from "../cpu/elementwise.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { add } from "./add.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";
import { sigmoid } from "./sigmoid.ts";
import { silu } from "./silu.ts";
import { sub } from "./sub.ts";
import { sumTo } from "./sum.ts";

/**
 * Elementwise `silu(gate) · up`, the gate of Llama's MLP (Shazeer 2020, "GLU variants improve Transformer").
 */
export const swiglu = defineOp("swiglu", "gate[*], up[*] -> y[*]", {
  reference({ gate, up }, y) {
    for (let i = 0; i < y.length; i++) y[i] = (gate[i] / (1 + Math.exp(-gate[i]))) * up[i];
  },
  pointwise: "gate / (V(1.0) + exp(-gate)) * up",
  fast: { simd: ({ gate, up }, y) => swigluF32(gate, up, y) },
  decompose: ({ gate, up }) => mul(silu(gate), up),
  reads: { gate: ["gate", "up"], up: ["gate"] },
  vjp: ({ gate, up }, dy) => ({
    gate: (): Tensor => sumTo(swigluDgate(gate, up, dy), gate.shape),
    up: (): Tensor => sumTo(swiglu(gate, dy), up.shape),
  }),
});

/** Cotangent of `swiglu`'s gate: `dy · up · s · (1 + gate · (1 - s))` with `s = sigmoid(gate)`. */
export const swigluDgate = defineOp("swigluDgate", "gate[*], up[*], dy[*] -> dgate[*]", {
  reference({ gate, up, dy }, dgate) {
    for (let i = 0; i < dgate.length; i++) {
      const s = 1 / (1 + Math.exp(-gate[i]));
      dgate[i] = dy[i] * up[i] * s * (1 + gate[i] * (1 - s));
    }
  },
  helpers: /* wgsl */ `
fn slope(gate: V) -> V {
  let s = V(1.0) / (V(1.0) + exp(-gate));
  return s * (V(1.0) + gate * (V(1.0) - s));
}`,
  pointwise: "dy * up * slope(gate)",
  fast: { simd: ({ gate, up, dy }, dgate) => swigluDgateF32(gate, up, dy, dgate) },
  decompose({ gate, up, dy }) {
    const s = sigmoid(gate);
    return mul(mul(dy, up), mul(s, add(1, mul(gate, sub(1, s)))));
  },
});
