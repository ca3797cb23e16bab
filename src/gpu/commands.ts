import type { CompiledKernel } from "./kernel.ts";

/** A recorded run of a kernel. */
export interface DispatchCommand {
  readonly kind: "dispatch";
  readonly kernel: CompiledKernel;
  readonly buffers: GPUBindGroup;
  readonly params: GPUBindGroup;
  readonly grid: readonly [number, number, number];
  /** Bytes of the bound buffers, for traces. */
  readonly bytes: number;
}

/** A recorded copy between buffers; offsets and bytes are multiples of 4. */
export interface CopyCommand {
  readonly kind: "copy";
  readonly source: GPUBuffer;
  readonly sourceOffset: number;
  readonly target: GPUBuffer;
  readonly targetOffset: number;
  readonly bytes: number;
}

/** A recorded fill with zeros. */
export interface ClearCommand {
  readonly kind: "clear";
  readonly target: GPUBuffer;
  readonly offset: number;
  readonly bytes: number;
}

/** One piece of work for the queue. */
export type Command = DispatchCommand | CopyCommand | ClearCommand;

/** Gives each dispatch a pass of its own, and times it. */
export interface PassTimer {
  /** Of the next pass. */
  pass(): GPUComputePassDescriptor;
  /** After the last pass. */
  finish(encoder: GPUCommandEncoder): void;
}

/** Encodes `commands` in order: one compute pass, broken only by copies and clears, or a pass each for a `timer`. */
export function encode(device: GPUDevice, commands: Iterable<Command>, timer: PassTimer | null = null): GPUCommandBuffer {
  const encoder = device.createCommandEncoder();
  let pass: PassState | null = null;
  for (const command of commands) {
    if (command.kind === "dispatch") {
      pass ??= new PassState(encoder, timer?.pass());
      pass.dispatch(command);
      if (!timer) continue;
      pass.pass.end();
      pass = null;
      continue;
    }
    pass?.pass.end();
    pass = null;
    if (command.kind === "clear") encoder.clearBuffer(command.target, command.offset, command.bytes);
    else {
      const { source, sourceOffset, target, targetOffset, bytes } = command;
      encoder.copyBufferToBuffer(source, sourceOffset, target, targetOffset, bytes);
    }
  }
  pass?.pass.end();
  timer?.finish(encoder);
  return encoder.finish();
}

class PassState {
  readonly pass: GPUComputePassEncoder;
  #kernel: CompiledKernel | null = null;
  #buffers: GPUBindGroup | null = null;
  #params: GPUBindGroup | null = null;

  constructor(encoder: GPUCommandEncoder, descriptor: GPUComputePassDescriptor | undefined) {
    this.pass = encoder.beginComputePass(descriptor);
  }

  dispatch({ kernel, buffers, params, grid }: DispatchCommand): void {
    if (kernel !== this.#kernel) this.pass.setPipeline(kernel.pipeline);
    if (buffers !== this.#buffers) this.pass.setBindGroup(0, buffers);
    if (params !== this.#params) this.pass.setBindGroup(1, params);
    // Every argument of a call into the driver costs.
    if (grid[2] > 1) this.pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
    else if (grid[1] > 1) this.pass.dispatchWorkgroups(grid[0], grid[1]);
    else this.pass.dispatchWorkgroups(grid[0]);
    this.#kernel = kernel;
    this.#buffers = buffers;
    this.#params = params;
  }
}
