import type { Side } from "../harness/side.ts";
import { currentGpu } from "../../src/index.ts";
import { openSide } from "./open-side.ts";
import { stepOf, type TrainingOptions } from "./training.ts";

type Call = () => void;

/** Steps until a step is replayed, and more, so that everything is compiled. */
const WARM_UP = 12;

/**
 * Times the calls into WebGPU that a replayed step makes, made again without the library: what no JavaScript around them can
 * save. A unit is a step, its time is divided by its dispatches: milliseconds a dispatch.
 */
export async function bareCalls(options: TrainingOptions): Promise<Side> {
  const facts = await openSide(options.device);
  const gpu = currentGpu();
  if (!gpu) throw new Error("bareCalls measures WebGPU");
  const step = await stepOf(options);
  const once = async (): Promise<void> => {
    const loss = step();
    await loss.item();
    loss.dispose();
  };
  for (let i = 0; i < WARM_UP; i++) await once();
  const before = gpu.stream.counts.dispatches;
  const replay = await taped(gpu.device, once);
  const dispatches = gpu.stream.counts.dispatches - before;
  return {
    facts: { ...facts, dispatches },
    async run(count) {
      const times: number[] = [];
      for (let i = 0; i < count; i++) {
        const start = performance.now();
        replay();
        times.push((performance.now() - start) / dispatches);
        await gpu.stream.finish();
      }
      return { times };
    },
  };
}

/** Runs `work`, and returns what makes the same calls again: of encoders and passes, to write buffers and to submit. */
async function taped(device: GPUDevice, work: () => Promise<void>): Promise<() => void> {
  const calls: Call[] = [];
  let encoder: GPUCommandEncoder;
  let pass: GPUComputePassEncoder;
  let buffer: GPUCommandBuffer;
  const { queue } = device;
  const real = { createCommandEncoder: device.createCommandEncoder, submit: queue.submit, writeBuffer: queue.writeBuffer };
  device.createCommandEncoder = (descriptor) => {
    const made = real.createCommandEncoder.call(device, descriptor);
    calls.push(() => {
      encoder = device.createCommandEncoder(descriptor);
    });
    const { copyBufferToBuffer, clearBuffer, beginComputePass, finish } = made;
    made.copyBufferToBuffer = ((...args: Parameters<typeof copyBufferToBuffer>) => {
      // What is read back is mapped: its copy cannot be made twice.
      if ((args[2] as unknown as GPUBuffer).usage & READABLE) return copyBufferToBuffer.apply(made, args);
      calls.push(() => encoder.copyBufferToBuffer(...args));
      return copyBufferToBuffer.apply(made, args);
    }) as typeof copyBufferToBuffer;
    made.clearBuffer = (...args) => {
      calls.push(() => encoder.clearBuffer(...args));
      clearBuffer.apply(made, args);
    };
    made.beginComputePass = (...args) => {
      calls.push(() => {
        pass = encoder.beginComputePass(...args);
      });
      return tapedPass(beginComputePass.apply(made, args), calls, () => pass);
    };
    made.finish = (...args) => {
      calls.push(() => {
        buffer = encoder.finish(...args);
      });
      return finish.apply(made, args);
    };
    return made;
  };
  queue.submit = (buffers) => {
    calls.push(() => queue.submit([buffer]));
    real.submit.call(queue, buffers);
  };
  queue.writeBuffer = (...args: Parameters<typeof queue.writeBuffer>) => {
    calls.push(() => queue.writeBuffer(...args));
    real.writeBuffer.apply(queue, args);
  };
  try {
    await work();
  } finally {
    Object.assign(device, { createCommandEncoder: real.createCommandEncoder });
    Object.assign(queue, { submit: real.submit, writeBuffer: real.writeBuffer });
  }
  return () => {
    for (const call of calls) call();
  };
}

/** `GPUBufferUsage.MAP_READ`. */
const READABLE = 1;

function tapedPass(made: GPUComputePassEncoder, calls: Call[], current: () => GPUComputePassEncoder): GPUComputePassEncoder {
  const { setPipeline, setBindGroup, dispatchWorkgroups, end } = made;
  made.setPipeline = (pipeline) => {
    calls.push(() => current().setPipeline(pipeline));
    setPipeline.call(made, pipeline);
  };
  made.setBindGroup = ((...args: [number, GPUBindGroup]) => {
    const [index, group] = args;
    calls.push(() => current().setBindGroup(index, group));
    (setBindGroup as (...args: [number, GPUBindGroup]) => undefined).apply(made, args);
  }) as typeof setBindGroup;
  made.dispatchWorkgroups = (...args) => {
    const [x] = args;
    calls.push(args.length === 1 ? () => current().dispatchWorkgroups(x) : () => current().dispatchWorkgroups(...args));
    dispatchWorkgroups.apply(made, args);
  };
  made.end = () => {
    calls.push(() => current().end());
    end.call(made);
  };
  return made;
}
