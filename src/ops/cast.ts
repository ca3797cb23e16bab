import { decodeStored } from "../cpu/stored.ts";
import { type DType, isBlock, isFloat } from "../tensor/dtype.ts";
import { ArgumentError } from "../tensor/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { defineOp } from "./define-op.ts";

const DTYPES: readonly unknown[] = ["f32", "f64", "f16", "bf16", "i32", "bool", null];

/**
 * Elementwise conversion to `dtype` (default: unchanged, but f32 from a stored format); f64 exists on the CPU only. To f16 and bf16
 * it rounds f32 to nearest, ties to even; from stored formats it is exact. Float to i32 cuts off the fraction, stops at the ends of i32 and
 * takes NaN to 0; anything but 0 is true as bool, NaN too. Differentiable between f32 and f64.
 *
 * @throws GraphError to a stored format while recording, when `x` requires a gradient
 */
export const cast = defineOp("cast", "x[*]:any|stored -> y[*]:any", {
  attrs: { dtype: { default: null as DType | null } },
  dtype({ dtype }) {
    if (DTYPES.includes(dtype)) return dtype;
    if (dtype !== null && isBlock(dtype)) {
      throw new ArgumentError("cast", "attribute dtype", "a format that needs no choice of scales", `"${dtype}"`, `use quantize(x, { format: "${dtype}" })`);
    }
    throw new ArgumentError("cast", "attribute dtype", '"f32", "f64", "f16", "bf16", "i32" or "bool"', `"${String(dtype)}"`);
  },
  // Without a copy in f32 beside the output.
  fast: {
    packed: {
      simd: (format) => (data, _inputs, y) => {
        decodeStored({ format, data }, y);
        return true;
      },
    },
  },
  params: (_shapes, { dtype }) => ({ toBool: dtype === "bool" ? 1 : 0, toInteger: dtype === "i32" ? 1 : 0 }),
  reference({ x }, y, _dims, { dtype }) {
    if (dtype === "bool") {
      for (let i = 0; i < y.length; i++) y[i] = x[i] === 0 ? 0 : 1;
    } else if (dtype === "i32") {
      for (let i = 0; i < y.length; i++) y[i] = Math.max(-2147483648, Math.min(2147483647, x[i]));
    } else {
      y.set(x);
    }
  },
  // `v` is x as a float, `y` x as the output's type O. WGSL leaves NaN open and stops at the f32 below 2^31.
  helpers: /* wgsl */ `
fn converted(v: V, y: O) -> O {
  let size = bitcast<I>(v) & I(0x7fffffff);
  if (dims.toBool == 1u) { return O(size != I(0)); }
  if (dims.toInteger == 0u) { return y; }
  let top = select(y, O(I(2147483647)), (v >= V(2147483648.0)) & (y == O(2147483520)));
  return select(top, O(0), size > I(0x7f800000));
}`,
  pointwise: "converted(V(x), O(x))",
  reads: {},
  vjp: ({ x }, dy) => ({ x: isFloat(x.dtype) ? (): Tensor => cast(dy, { dtype: x.dtype }) : null }),
});
