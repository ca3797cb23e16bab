import type { Tensor } from "../tensor/tensor.ts";
import { add } from "./add.ts";
import { defineOp } from "./define-op.ts";
import { mul } from "./mul.ts";
import { neg } from "./neg.ts";
import { slice } from "./slice.ts";
import { sub } from "./sub.ts";
import { sum } from "./sum.ts";

/**
 * Rotary position embedding in the rotate-half layout (Su et al. 2021): elements `j` and `j + p` of a head
 * turn by the angle of frequency `j` at position `t`. `cos` and `sin` hold the angles' cosines and sines, so
 * that any scaling of frequencies works.
 */
export const rope = defineOp("rope", "x[b, t, h, 2*p], cos[t, p], sin[t, p] -> y[b, t, h, 2*p]", {
  reference({ x, cos, sin }, y, { b, t, h, p }) {
    for (let head = 0; head < b * t * h; head++) {
      const angle = (Math.floor(head / h) % t) * p;
      for (let j = 0; j < p; j++) {
        const i = head * 2 * p + j;
        const c = cos[angle + j];
        const s = sin[angle + j];
        y[i] = x[i] * c - x[i + p] * s;
        y[i + p] = x[i + p] * c + x[i] * s;
      }
    }
  },
  wgsl: /* wgsl */ `
    let j = i % (2u * dims.p);
    let angle = i / (2u * dims.p) / dims.h % dims.t * dims.p + j % dims.p;
    if (j < dims.p) { y[i] = x[i] * cos[angle] - x[i + dims.p] * sin[angle]; }
    else { y[i] = x[i] * cos[angle] + x[i - dims.p] * sin[angle]; }`,
  vjp: ({ x, cos, sin }, dy) => ({
    x: (): Tensor => rope(dy, cos, neg(sin)),
    cos: () => overHeads(add(mul(low(dy), low(x)), mul(high(dy), high(x)))),
    sin: () => overHeads(sub(mul(high(dy), low(x)), mul(low(dy), high(x)))),
  }),
});

const low = (x: Tensor): Tensor => slice(x, { axis: 3, start: 0, end: x.shape[3] / 2 });
const high = (x: Tensor): Tensor => slice(x, { axis: 3, start: x.shape[3] / 2, end: x.shape[3] });
const overHeads = (x: Tensor): Tensor => sum(x, { axes: [0, 2] });
