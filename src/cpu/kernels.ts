import type { FunctionSource } from "./wasm/assembler.ts";
import { adamwPieces, scalePieces, squareSumPieces, zeroSums } from "./wasm/adamw-kernel.ts";
import { attentionHeadCotangents, attentionHeads } from "./wasm/attention-kernel.ts";
import { attentionFunctions } from "./wasm/attention-rows.ts";
import { dropoutElements } from "./wasm/dropout-kernel.ts";
import {
  addElements, expElements, multiplyElements, sigmoidElements, siluElements, subtractElements, swigluDgateElements, swigluElements,
} from "./wasm/elementwise-kernel.ts";
import { gemmBlocks, packColumnsA, packColumnsWide, packRowsNarrow, packRowsWide } from "./wasm/gemm-kernel.ts";
import type { Kernel } from "./wasm/kernel.ts";
import { softmaxLossRows } from "./wasm/loss-kernel.ts";
import { panelFunctions } from "./wasm/panels.ts";
import { productFunctions } from "./wasm/product.ts";
import { storedKernels } from "./wasm/stored-kernels.ts";
import { ropeRows } from "./wasm/rope-kernel.ts";
import {
  inverseRmsRows, rmsNormDxRows, rmsNormRows, weightedColumnSums,
} from "./wasm/row-kernels.ts";
import { columnSums, runSums } from "./wasm/sum-kernels.ts";

/** What a module is made of. */
export interface ModuleParts {
  readonly kernels: readonly Kernel[];
  /** Functions that they call. */
  readonly functions: readonly FunctionSource[];
}

const gemmKernels: readonly Kernel[] = [gemmBlocks, packColumnsA, packColumnsWide, packRowsNarrow, packRowsWide];

const otherKernels: readonly Kernel[] = [
  addElements, subtractElements, multiplyElements, expElements, sigmoidElements, siluElements, swigluElements, swigluDgateElements,
  dropoutElements,
  ...Object.values(runSums), ...Object.values(columnSums),
  rmsNormRows, rmsNormDxRows, inverseRmsRows, weightedColumnSums, softmaxLossRows, ropeRows,
  attentionHeads, attentionHeadCotangents,
  adamwPieces, squareSumPieces, scalePieces, zeroSums,
  ...storedKernels,
];

/** The matrix product alone. */
export const gemmParts = (): ModuleParts => ({ kernels: gemmKernels, functions: [...productFunctions(), ...panelFunctions()] });

/** Every kernel. */
export const allParts = (): ModuleParts => ({
  kernels: [...gemmKernels, ...otherKernels],
  functions: [...productFunctions(), ...panelFunctions(), ...attentionFunctions()],
});
