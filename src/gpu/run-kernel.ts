import { type DType, type HalfFormat, isHalf, isStored, type StoredFormat } from "../tensor/dtype.ts";
import { ArgumentError, DeviceError, PolargradError } from "../tensor/errors.ts";
import type { OpPlan } from "../tensor/op-plan.ts";
import type { KernelPlan, KernelProfile, OpSpec } from "../tensor/op-spec.ts";
import { broadcastStrides, formatShape, type Shape, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { GpuBuffer } from "./buffer.ts";
import type { Gpu } from "./device.ts";
import { GpuStorage } from "./gpu-storage.ts";
import type { KernelSource } from "./kernel.ts";
import { type Access, kernelSource, uniformWords, WORKGROUP, wordOf } from "./kernel-source.ts";
import { decodePlan, encodePlan } from "./stored-kernels.ts";

/** Which implementation runs: the tuned kernel where there is one, or always the readable one. */
export type GpuPath = "fast" | "readable";

/** One input as a kernel sees it. */
interface Operand {
  readonly buffer: GpuBuffer;
  readonly dtype: DType;
  readonly access: Access;
  readonly inner: number;
  readonly length: number;
  /** Set where the input had to be expanded or decoded first. */
  readonly temporary?: GpuStorage;
}

/** Record an op on the device's command stream. A result in a stored format is computed in f32. */
export function runOnGpu(
  gpu: Gpu,
  spec: OpSpec,
  inputs: readonly Tensor[],
  plan: OpPlan,
  attrs: Readonly<Record<string, unknown>>,
  dtype: DType,
  path: GpuPath,
): GpuStorage {
  if (isHalf(dtype)) return encoded(gpu, dtype, runOnGpu(gpu, spec, inputs, plan, attrs, "f32", path));
  const count = sizeOf(plan.output);
  const out = GpuStorage.allocate(gpu, dtype, count, spec.name);
  if (count === 0) return out;
  const operands: Operand[] = [];
  try {
    const profile = kernelProfile(gpu);
    const fast = path === "fast" ? spec.fast : undefined;
    const format = inputs.map((input) => input.dtype).find(isStored);
    const packed = format && fast?.packed?.wgsl?.(format, profile, plan.dims, attrs, plan.params);
    for (const [i, input] of inputs.entries()) operands.push(operandOf(gpu, spec, input, i, plan.batch, Boolean(packed)));
    const buffers = operands.map((operand) => operand.buffer);
    const tuned = packed ?? fast?.wgsl?.(profile, plan.dims, attrs, plan.params);
    dispatchPlan(gpu, tuned ?? generated(spec, operands, plan, attrs, dtype, count), buffers, out.buffer);
  } catch (error) {
    out.release();
    throw error;
  } finally {
    for (const operand of operands) operand.temporary?.release();
  }
  return out;
}

/** What kernels are planned by. */
export const kernelProfile = (gpu: Gpu): KernelProfile => ({ ...gpu.profile, subgroups: gpu.profile.features.subgroups });

/** Record the dispatches of a plan from `inputs` to `output`. */
export function dispatchPlan(gpu: Gpu, { kernel, params, grid, first, zeroed, randomStream }: KernelPlan, inputs: readonly GpuBuffer[], output: GpuBuffer): void {
  if (zeroed) gpu.stream.clear(output);
  if (!first) {
    gpu.stream.dispatch(kernel, [...inputs, output], params, grid, randomStream);
    return;
  }
  const scratch = gpu.pool.acquire(4 * first.floats, `scratch of ${kernel.label}`);
  try {
    gpu.stream.dispatch(first.kernel, [...inputs, scratch], first.params, first.grid);
    gpu.stream.dispatch(kernel, [scratch, output], params, grid);
  } finally {
    gpu.pool.release(scratch);
  }
}

function generated(
  spec: OpSpec,
  operands: readonly Operand[],
  plan: OpPlan,
  attrs: Readonly<Record<string, unknown>>,
  output: DType,
  count: number,
): KernelPlan {
  if (!spec.wgsl && !spec.pointwise) throw new PolargradError(`${spec.name} has no WebGPU kernel; give its declaration wgsl, pointwise or decompose`);
  const variant = { dtypes: operands.map((operand) => operand.dtype), output, access: operands.map((operand) => operand.access) };
  const kernel = kernelSource(spec, variant, plan.params);
  const repeats = spec.pointwise ? operands.flatMap(({ inner, length }) => [inner, length]) : [];
  const params = uniformWords(spec, plan.params, { count, dims: plan.dims, attrs }, repeats);
  const randomStream = spec.randomStream === undefined ? undefined : wordOf(spec, plan.params, spec.randomStream);
  return { kernel, params, grid: linearGrid(spec.pointwise ? Math.ceil(count / 4) : count), randomStream };
}

/** Workgroups for `count` invocations, folded into two axes below the limit of 65535. */
function linearGrid(count: number): [number, number, number] {
  const groups = Math.ceil(count / WORKGROUP);
  const x = Math.min(groups, 32768);
  return [x, Math.ceil(groups / x), 1];
}

/** The buffer of an input, which has to be on the GPU that is open now. */
function bufferOn(gpu: Gpu, input: Tensor, op: string): GpuBuffer {
  const { gpu: own, buffer } = input.storage as GpuStorage;
  if (own === gpu) return buffer;
  own.check();
  throw new DeviceError(`${op}: a tensor of shape ${formatShape(input.shape)} is on another GPU than the one that is open now`);
}

function operandOf(gpu: Gpu, spec: OpSpec, input: Tensor, i: number, batch: Shape, readsPacked: boolean): Operand {
  const buffer = bufferOn(gpu, input, spec.name);
  const { dims } = spec.signature.inputs[i];
  const { dtype } = input;
  const fits: Operand = { buffer, dtype, access: "full", inner: 1, length: 1 };
  if (isStored(dtype)) {
    if (readsPacked) return fits;
    const temporary = decoded(gpu, dtype, input.storage as GpuStorage);
    return { ...fits, buffer: temporary.buffer, dtype: "f32", temporary };
  }
  if (!dims?.some((dim) => dim.kind === "batch")) return fits;
  const inner = dims.length - 1;
  const own = input.shape.slice(0, input.rank - inner);
  if (sizeOf(own) === sizeOf(batch)) return fits;
  const repeat = spec.pointwise ? repeatOf(own, batch) : null;
  if (repeat) return { buffer, dtype, access: "repeat", ...repeat };
  const temporary = expandBatch(gpu, input, own, batch, sizeOf(input.shape.slice(own.length)));
  return { ...fits, buffer: temporary.buffer, temporary };
}

/** The elements of `x`, whose dtype is `format`, as f32. */
function decoded(gpu: Gpu, format: StoredFormat, x: GpuStorage): GpuStorage {
  const { kernel, params, grid } = decodePlan(format, x.length);
  return filled(GpuStorage.allocate(gpu, "f32", x.length, kernel.label), (out) => {
    gpu.stream.dispatch(kernel, [x.buffer, out.buffer], params, grid);
  });
}

/** `plain`, which is used up, in a stored format. */
function encoded(gpu: Gpu, format: HalfFormat, plain: GpuStorage): GpuStorage {
  const { kernel, params, grid } = encodePlan(format, plain.length);
  try {
    return filled(GpuStorage.allocate(gpu, format, plain.length, kernel.label), (out) => {
      gpu.stream.dispatch(kernel, [plain.buffer, out.buffer], params, grid);
    });
  } finally {
    plain.release();
  }
}

/** `out` after `fill`, or released if that fails. */
function filled(out: GpuStorage, fill: (out: GpuStorage) => void): GpuStorage {
  try {
    fill(out);
    return out;
  } catch (error) {
    out.release();
    throw error;
  }
}

/** `own` as one run of axes of `batch`: element `i` of the broadcast is element `(i / inner) % length`. Null if it is not one run. */
function repeatOf(own: Shape, batch: Shape): { inner: number; length: number } | null {
  const padded = [...new Array<number>(batch.length - own.length).fill(1), ...own];
  const first = padded.findIndex((d) => d !== 1);
  if (first < 0) return { inner: 1, length: 1 };
  const last = padded.findLastIndex((d) => d !== 1);
  const isRun = padded.slice(first, last + 1).every((d, k) => d === batch[first + k]);
  return isRun ? { inner: sizeOf(batch.slice(last + 1)), length: sizeOf(own) } : null;
}

const EXPAND: KernelSource = {
  label: "expandBatch",
  bindings: ["read", "read_write"],
  code: /* wgsl */ `
struct Dims { sizes: array<vec4<u32>, 2>, strides: array<vec4<u32>, 2>, rank: u32, row: u32, count: u32 }
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(1) @binding(0) var<uniform> dims: Dims;
@compute @workgroup_size(${WORKGROUP}) fn main(@builtin(global_invocation_id) gid: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let i = gid.x + gid.y * groups.x * ${WORKGROUP}u;
  if (i >= dims.count) { return; }
  var rest = i / dims.row; var source = 0u;
  for (var a = dims.rank; a > 0u; a--) {
    let s = dims.sizes[(a - 1u) / 4u][(a - 1u) % 4u];
    source += (rest % s) * dims.strides[(a - 1u) / 4u][(a - 1u) % 4u];
    rest /= s;
  }
  y[i] = x[source * dims.row + i % dims.row];
}`,
};

/** The elements of `input` with its batch axes `own` repeated to `batch`, `row` elements each. */
function expandBatch(gpu: Gpu, input: Tensor, own: Shape, batch: Shape, row: number): GpuStorage {
  if (batch.length > 8) throw new ArgumentError(EXPAND.label, "a broadcast", "of at most 8 axes on webgpu", String(batch.length));
  const count = sizeOf(batch) * row;
  const out = GpuStorage.allocate(gpu, input.dtype, count, EXPAND.label);
  if (count === 0) return out;
  const params = new Uint32Array(19);
  params.set(batch, 0);
  params.set(broadcastStrides(own, batch), 8);
  params.set([batch.length, row, count], 16);
  return filled(out, () => {
    gpu.stream.dispatch(EXPAND, [(input.storage as GpuStorage).buffer, out.buffer], params, linearGrid(count));
  });
}
