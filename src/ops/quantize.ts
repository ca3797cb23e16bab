import { isGradEnabled } from "../autograd/index.ts";
import { quantizeBlocks } from "../tensor/blocks.ts";
import { BLOCK, type BlockFormat, isBlock } from "../tensor/dtype.ts";
import { ArgumentError, GraphError } from "../tensor/errors.ts";
import { formatShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { fromArray } from "./device.ts";

/**
 * The values of `x` as integers in blocks of 32 along the last axis, with ggml's rounding, to be stored as a frozen weight: about a
 * quarter (`q8_0`: 34 bytes a block) or a seventh (`q4_0`: 18, `q4_1`: 20) of f32. `cast(y, { dtype: "f32" })` decodes it.
 *
 * With a the largest magnitude and h - l the range of a block, a value moves by at most a/254 (`q8_0`), a/8 (`q4_0`; half of that
 * unless it is beyond 7/8 of a on the other side of 0) or (h - l)/30 (`q4_1`), and by the rounding of the scale and minimum to f16:
 * 2⁻¹¹ of what they contribute.
 *
 * @param x on the CPU; its last axis is a multiple of 32
 * @throws ArgumentError for another shape or device, values that are not finite or that f16 scales cannot reach; GraphError while
 * recording, when `x` requires a gradient
 */
export function quantize(x: Tensor, { format }: { readonly format: BlockFormat }): Tensor {
  if (!isBlock(format)) throw new ArgumentError("quantize", "format", '"q8_0", "q4_0" or "q4_1"', `"${String(format)}"`);
  if (x.device !== "cpu") throw new ArgumentError("quantize", "x", "on the CPU", x.device, 'move it there and back: await to(x, "cpu")');
  const columns = x.shape.at(-1) ?? 0;
  if (x.rank === 0 || columns % BLOCK !== 0) {
    throw new ArgumentError("quantize", "x", `of a last axis that is a multiple of ${BLOCK}`, formatShape(x.shape));
  }
  if (x.requiresGrad && isGradEnabled()) {
    throw new GraphError(`quantize: no gradient passes through ${format}, but x requires one; call it in noGrad() or on x.detach()`);
  }
  const values = x.dataSync();
  const packed = quantizeBlocks(format, values instanceof Float32Array ? values : Float32Array.from(values));
  if (packed) return fromArray(packed, x.shape, format, "cpu");
  throw new ArgumentError("quantize", "x", "of finite values within the reach of f16 scales (65504)", "some that are not");
}
