import type { SafetensorsDType, SafetensorsInput, SafetensorsTensor } from "../io/index.ts";
import { copyHalves, decodeFloat64, viewFloat32 } from "../io/decode.ts";
import { quantizeBlocks } from "../tensor/blocks.ts";
import {
  BLOCK,
  type BlockFormat,
  type HalfFormat,
  isBlock,
  isHalf,
  isStored,
  type PackedArray,
  type StoredFormat,
  type TypedArray,
} from "../tensor/dtype.ts";
import { PolargradError } from "../tensor/errors.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { decode, encode } from "../tensor/stored-format.ts";

/** What the weights of a checkpoint may become. */
export const LOAD_DTYPES = ["auto", "f32", "f64", "f16", "bf16"] as const;
/** What the weights of a checkpoint become; `auto`: each as it is stored. */
export type LoadDType = (typeof LOAD_DTYPES)[number];

/** What `quantize` may ask for. */
export const QUANTIZE: readonly BlockFormat[] = ["q8_0", "q4_0", "q4_1"];

/** How the weights of a checkpoint are to lie in memory. */
export interface WeightFormat {
  readonly dtype: LoadDType;
  readonly quantize?: BlockFormat | undefined;
}

/** How files and configurations spell the 16-bit formats. */
const SPELLINGS = {
  f16: { file: "F16", config: "float16" },
  bf16: { file: "BF16", config: "bfloat16" },
} as const satisfies Record<HalfFormat, { readonly file: SafetensorsDType; readonly config: string }>;

/** What a tensor of a checkpoint becomes: vectors (norms, biases) are small and stay f32. */
export function dtypeFor(source: SafetensorsTensor, { dtype, quantize }: WeightFormat): "f32" | "f64" | StoredFormat {
  if (dtype === "f64") return "f64";
  if (source.shape.length < 2) return "f32";
  if (quantize && fitsBlocks(source)) return quantize;
  if (dtype !== "auto") return dtype;
  if (source.dtype === "F16") return "f16";
  return source.dtype === "BF16" ? "bf16" : "f32";
}

/** Whether the rows of a matrix are whole blocks. */
export const fitsBlocks = ({ shape }: SafetensorsTensor): boolean => shape[shape.length - 1] % BLOCK === 0;

/**
 * The elements of a checkpoint's tensor in a dtype of ours: to be copied, as f32 may lie in the checkpoint's bytes.
 *
 * @throws PolargradError for a value beyond f16's range, or that a scale of a block cannot reach
 */
export function elementsAs(
  dtype: "f32" | "f64" | StoredFormat,
  source: SafetensorsTensor,
  name: string,
): TypedArray | PackedArray {
  if (dtype === "f64") return decodeFloat64(source);
  if (!isStored(dtype)) return viewFloat32(source);
  if (isBlock(dtype)) {
    const packed = quantizeBlocks(dtype, viewFloat32(source));
    if (packed) return packed;
    throw new PolargradError(`"${name}" holds values that are not finite, or too large for ${dtype}; load it without quantize`);
  }
  if (source.dtype === SPELLINGS[dtype].file) return copyHalves(source);
  const halves = encode(dtype, viewFloat32(source));
  if (dtype === "f16" && halves.some((half) => (half & 0x7fff) === 0x7c00)) {
    throw new PolargradError(`"${name}" holds values that f16 cannot (it ends at 65504); load it with dtype: "bf16"`);
  }
  return halves;
}

/**
 * What to write for parameters, and how config.json calls it: f16 and bf16 as they are, the vectors beside them
 * in the same format where that loses nothing, everything else as F32, which holds what blocks decode to exactly.
 */
export async function savedTensors(
  parameters: readonly (readonly [name: string, parameter: Parameter])[],
): Promise<{ tensors: Map<string, SafetensorsInput>; dtype: string }> {
  const formats = new Set(parameters.map(([, { dtype }]) => dtype).filter(isHalf));
  const [common] = formats.size === 1 ? formats : [];
  const tensors = new Map<string, SafetensorsInput>();
  for (const [name, parameter] of parameters) tensors.set(name, await savedTensor(parameter, common));
  const isCommon = common && [...tensors.values()].every(({ dtype }) => dtype === SPELLINGS[common].file);
  return { tensors, dtype: isCommon ? SPELLINGS[common].config : "float32" };
}

/** What to write for a tensor: f64 and blocks as F32, and a vector as `common` where that loses nothing. */
export async function savedTensor(tensor: Tensor, common?: HalfFormat): Promise<SafetensorsInput> {
  const { shape, dtype } = tensor;
  if (isHalf(dtype)) return { dtype: SPELLINGS[dtype].file, shape, data: await tensor.storage.read() };
  const values = await tensor.data();
  const data = values instanceof Float32Array ? values : Float32Array.from(values);
  if (common && shape.length < 2) {
    const halves = encode(common, data);
    const back = decode(common, halves);
    if (data.every((value, i) => Object.is(value, back[i]))) return { dtype: SPELLINGS[common].file, shape, data: halves };
  }
  return { dtype: "F32", shape, data };
}
