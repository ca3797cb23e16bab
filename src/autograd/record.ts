import { isFloat } from "../tensor/dtype.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { TapeNode, Tensor } from "../tensor/tensor.ts";
import { isGradEnabled } from "./mode.ts";

/** Version of a parameter, 0 of any other tensor. */
export const versionOf = (tensor: Tensor): number => (tensor instanceof Parameter ? tensor.version : 0);

/** Put an op on the tape when recording is on, an input requires a gradient and the output can carry one. */
export function record(op: string, inputs: readonly Tensor[], output: Tensor, pullback: TapeNode["pullback"]): Tensor {
  if (!isGradEnabled() || !isFloat(output.dtype) || !inputs.some((input) => input.requiresGrad)) return output;
  output.node = { op, inputs, versions: inputs.map(versionOf), pullback, freed: false };
  for (const input of inputs) input.pendingUses++;
  output.requiresGrad = true;
  return output;
}
