import { getGeneratorState, setGeneratorState } from "../tensor/generator.ts";
import { newestTensorId, type Tensor } from "../tensor/tensor.ts";
import { enableGrad, isGradEnabled, noGrad, watchInputs } from "./mode.ts";
import { record } from "./record.ts";
import { sweep, trackNew } from "./sweep.ts";
import { tidy } from "./tidy.ts";

/**
 * Run `f(...args)` without keeping its intermediates, and run it again in the backward sweep: less memory for one more forward
 * (Chen et al. 2016, "Training deep nets with sublinear memory cost"). Parameters and tensors that `f` captures get their
 * gradients too; random ops draw the same numbers in both runs.
 *
 * @param f a function of tensors to one tensor, the same each time it runs
 */
export function checkpoint<A extends readonly unknown[]>(f: (...args: A) => Tensor, ...args: A): Tensor {
  const random = getGeneratorState();
  const captured = new Set<Tensor>();
  const forward = (): Tensor => tidy(() => f(...args));
  const newest = newestTensorId();
  const capture = (input: Tensor): void => {
    if (input.id <= newest) captured.add(input);
  };
  const result = noGrad(() => watchInputs(capture, forward));
  // Constants that f captured are inputs too: the graph must keep them alive for the second run.
  const inputs = [...captured];
  if (!isGradEnabled() || !inputs.some((input) => input.requiresGrad)) return result;
  // An f that returns one of its inputs must still yield a tensor of its own to record.
  const output = result.isLeaf && !captured.has(result) ? result : result.detach();
  return record("checkpoint", inputs, output, (dy, needed) => {
    const createGraph = isGradEnabled();
    const after = getGeneratorState();
    setGeneratorState(random);
    const again = enableGrad(forward);
    setGeneratorState(after);
    const wrt = inputs.filter((_, i) => needed[i]);
    const cotangents = sweep(again, dy, { wrt, stopAtTargets: true, retainGraph: createGraph, createGraph });
    trackNew(cotangents.values(), dy);
    return inputs.map((input) => cotangents.get(input) ?? null);
  });
}
