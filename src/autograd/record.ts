import { isFloat } from "../tensor/dtype.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { TapeNode, Tensor } from "../tensor/tensor.ts";
import { isGradEnabled } from "./mode.ts";

/** Version of a parameter, 0 of any other tensor. */
export const versionOf = (tensor: Tensor): number => (tensor instanceof Parameter ? tensor.version : 0);

/**
 * Put an op on the tape when recording is on, an input requires a gradient and the output can carry one.
 *
 * @param reads asked only then: the inputs, and perhaps the output, whose elements the pullback reads; default: all inputs
 */
export function record(
  op: string,
  inputs: readonly Tensor[],
  output: Tensor,
  pullback: TapeNode["pullback"],
  reads: () => readonly Tensor[] = () => inputs,
): Tensor {
  if (!isGradEnabled() || !isFloat(output.dtype) || !inputs.some((input) => input.requiresGrad)) return output;
  const variables = inputs.map((input) => input.requiresGrad);
  output.node = { op, inputs, variables, reads: reads(), versions: inputs.map(versionOf), pullback, freed: false };
  for (const read of output.node.reads) read.pendingUses++;
  output.requiresGrad = true;
  return output;
}
