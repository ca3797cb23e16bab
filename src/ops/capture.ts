import { isGradEnabled, tidy } from "../autograd/index.ts";
import type { Gpu } from "../gpu/device.ts";
import { ArgumentError } from "../tensor/errors.ts";
import { getGeneratorState } from "../tensor/generator.ts";
import { formatShape } from "../tensor/shape.ts";
import { newestTensorId, Tensor } from "../tensor/tensor.ts";
import { CaptureError, CapturePlan } from "./capture-plan.ts";
import { defaultDevice } from "./device.ts";
import { currentGpu } from "./init.ts";

/** A captured function: called as the function itself. */
export interface Captured<A extends readonly Tensor[]> {
  (...args: A): Tensor[];
  /** Free what the replays work in. A later call captures anew. */
  dispose(): void;
}

/** Shapes of arguments that one captured function keeps recordings for. */
const MOST_PLANS = 64;

/**
 * A function whose work on WebGPU is recorded and from then on replayed without running the function: JavaScript then costs a
 * training step next to nothing. It is recorded for each shape of its arguments, until two runs in a row do the same; from
 * the third on the queue gets the commands of the recording. On the CPU the function runs each time.
 *
 * What the function reads and changes beside its arguments must stay where it is (parameters, moments of `AdamW`), and numbers of
 * the host that change must come through `hostTensor`. Random ops go on in their streams. The results are copies, outside of
 * every graph; whatever else it makes is freed.
 *
 * @param f synchronous, of tensors on one device to tensors on it
 * @param options `onRefusal` is told, once for a shape of the arguments, why the function cannot be captured; it then runs each time
 * @throws CaptureError without `onRefusal`: at the fourth run that does not do what the run before did, or keeps a tensor
 */
export function capture<const A extends readonly Tensor[]>(
  f: (...args: A) => readonly Tensor[],
  { onRefusal = refuse }: { readonly onRefusal?: (reason: string) => void } = {},
): Captured<A> {
  const run = (args: A): Tensor[] => tidy(() => detached(() => f(...args)));
  let plans = new Map<string, CapturePlan>();
  let gpu: Gpu | null = null;
  const forget = (): void => {
    for (const plan of plans.values()) plan.dispose();
    plans = new Map();
  };
  const call = (...args: A): Tensor[] => {
    const open = gpuOf(args);
    if (!open || open.stream.recorder.isRecording) return run(args);
    if (open !== gpu) plans = new Map();
    gpu = open;
    const key = keyOf(args);
    const plan = plans.get(key) ?? new CapturePlan(open, args, onRefusal);
    plans.delete(key);
    plans.set(key, plan);
    const [oldest] = plans.keys();
    if (plans.size > MOST_PLANS) {
      plans.get(oldest)?.dispose();
      plans.delete(oldest);
    }
    return plan.run(args, (statics) => run(statics as unknown as A));
  };
  return Object.assign(call, {
    dispose(): void {
      forget();
      if (gpu?.healthy) gpu.pool.dissolveLane();
    },
  });
}

function refuse(reason: string): never {
  throw new CaptureError(reason);
}

/** What `f` gives, outside of its graph. What `f` made goes, the gradients that it returns too. */
function detached(f: () => readonly Tensor[]): Tensor[] {
  const newest = newestTensorId();
  const values = f();
  const results = values.map((value) => value.detach());
  for (const value of values) if (value.id > newest) value.dispose();
  return results;
}

/** The GPU that the arguments are on, or new tensors without any; null on the CPU. */
function gpuOf(args: readonly Tensor[]): Gpu | null {
  const odd = args.find((arg) => !(arg instanceof Tensor));
  if (odd !== undefined) throw new ArgumentError("capture", "every argument", "a tensor", typeof odd);
  if (new Set(args.map(({ device }) => device)).size > 1) throw new ArgumentError("capture", "every argument", "on one device", "several");
  return (args[0]?.device ?? defaultDevice()) === "webgpu" ? currentGpu() : null;
}

const keyOf = (args: readonly Tensor[]): string =>
  [isGradEnabled(), getGeneratorState().seed, ...args.map(({ shape, dtype }) => `${dtype} ${formatShape(shape)}`)].join();
