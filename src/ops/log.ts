import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";
import { div } from "./div.ts";
import { LOG } from "./wgsl-math.ts";

/** Elementwise natural logarithm; -Infinity at 0, NaN below. */
export const log = defineOp("log", "x[*] -> y[*]", {
  reference({ x }, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.log(x[i]);
  },
  helpers: LOG,
  pointwise: "log_of(x)",
  reads: { x: ["x"] },
  vjp: ({ x }, dy) => ({ x: (): Tensor => div(dy, x) }),
  domain: { x: [0.1, 4] },
});
