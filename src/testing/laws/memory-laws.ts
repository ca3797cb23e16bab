import { tidy } from "../../autograd/index.ts";
import { gradients } from "../../ops/gradient.ts";
import { currentGpu } from "../../ops/init.ts";
import { liveCpuStorages } from "../../tensor/cpu-storage.ts";
import { isFloat } from "../../tensor/dtype.ts";
import type { Device } from "../../tensor/storage.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { OpCall } from "../calls.ts";
import { mustBeIdentical } from "../compare.ts";
import { LawError } from "../errors.ts";
import {
  callable,
  cotangentOf,
  evaluate,
  inWay,
  isDifferentiable,
  tensorsOf,
  variablesOf,
  type Way,
} from "../evaluate.ts";
import { forCalls, type Law, type LawContext } from "./law.ts";
import { readsLaw } from "./reads-law.ts";

/** Repeating a call leaks nothing and gives the same bits, and the tape keeps what it needs and no more, on one device. */
export function memoryLaws(context: LawContext, device: Device): Law[] {
  const { op, spec } = context;
  const way: Way = { device, dtype: "f32" };
  const place = device === "cpu" ? "the CPU" : "the GPU";
  return [
    {
      name: `${spec.name}: repeated calls leave the number of live storages on ${place} unchanged`,
      run: () =>
        forCalls(context, { plain: 1, broadcast: 2, repeated: 1 }, (call) => checkLeaks(context, call, way)),
    },
    ...(spec.vjp ? [readsLaw(context, way, place)] : []),
    {
      name: `${spec.name}: the same call gives the same bits on ${place}`,
      run: () =>
        forCalls(
          context,
          device === "cpu" ? { plain: 2, broadcast: 2 } : { plain: 1, edge: 1 },
          async (call) => {
            const first = await evaluate(op, call, way, isDifferentiable(spec));
            const second = await evaluate(op, call, way, isDifferentiable(spec));
            mustBeIdentical(spec.name, "output", second.output, first.output);
            for (const [k, gradient] of first.gradients.entries()) {
              mustBeIdentical(spec.name, `gradient ${k}`, second.gradients[k], gradient);
            }
          },
        ),
    },
  ];
}

const live = (device: Device): number =>
  device === "cpu" ? liveCpuStorages() : (currentGpu()?.pool.counts.live ?? 0);

/** Repeat a call on the tensors that `makeInputs` makes, forward and backward. @throws LawError for storages that it leaves */
export function checkLeaks(
  { op, spec }: LawContext,
  call: OpCall,
  way: Way,
  makeInputs: (call: OpCall, way: Way) => readonly Tensor[] = tensorsOf,
): void {
  const inputs = makeInputs(call, way);
  const once = (): void =>
    inWay(way, call.seed, () =>
      tidy(() => {
        const y = callable(op)(...inputs, call.attrs);
        if (!isDifferentiable(spec) || !isFloat(y.dtype) || !y.requiresGrad) return;
        gradients(
          y,
          variablesOf(call)
            .map((position) => inputs[position])
            .filter(({ requiresGrad }) => requiresGrad),
          { gradient: cotangentOf(call, y.shape, way) },
        );
      }),
    );
  try {
    once();
    const before = live(way.device);
    for (let i = 0; i < 3; i++) once();
    const after = live(way.device);
    if (after !== before)
      throw new LawError(
        spec.name,
        `3 calls in tidy() left ${after - before} storages more on ${way.device}`,
      );
  } finally {
    for (const input of inputs) input.dispose();
  }
}
