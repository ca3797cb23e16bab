import { gathered, inArena, type Run, runsOf, zeroArena } from "./arena.ts";
import type { GpuBuffer } from "./buffer.ts";
import type { Gpu } from "./device.ts";
import { foldGrid } from "./fold-grid.ts";
import { GpuStorage } from "./gpu-storage.ts";
import type { KernelSource } from "./kernel.ts";
import { dispatchPlan, kernelProfile } from "./run-kernel.ts";
import { type SumTerms, sumPlan } from "./sum-kernel.ts";

/** Parameters, gradients and moments, f32: one of each for every parameter. */
export interface AdamwColumns {
  readonly p: readonly GpuStorage[];
  readonly g: readonly GpuStorage[];
  readonly m: readonly GpuStorage[];
  readonly v: readonly GpuStorage[];
}

/** f32 numbers of a row of the table that `adamwOnGpu` reads: beta1, 1 - beta1, beta2, 1 - beta2, keep, step, root, eps; see `adamwUpdate`. */
export const ADAMW_NUMBERS = 8;

const LANES = 64;

// Numbered by the global id: lavapipe then sees that lanes touch neighbours, which it does not with `local_invocation_index`.
const head = (fields: string): string => /* wgsl */ `
struct Params { count: u32, ${fields} }
@group(1) @binding(0) var<uniform> params: Params;
@compute @workgroup_size(${LANES})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.x + ${LANES}u * groups.x * (id.y + groups.y * id.z);
  if (i >= params.count) { return; }`;

const ADAMW: KernelSource = {
  label: "adamw",
  bindings: ["read", "read", "read_write", "read_write", "read_write"],
  code: /* wgsl */ `
@group(0) @binding(0) var<storage, read> numbers: array<vec4f>;
@group(0) @binding(1) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> p: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> v: array<vec4f>;
${head("row: u32")}
  let means = numbers[2u * params.row];
  let update = numbers[2u * params.row + 1u];
  let g = gradients[i];
  let first = means.x * m[i] + means.y * g;
  let second = means.z * v[i] + means.w * g * g;
  m[i] = first;
  v[i] = second;
  p[i] = update.x * p[i] - update.y * first / (sqrt(second) / update.z + vec4f(update.w));
}`,
};

// min(1, NaN) may be 1.
const CLIP: KernelSource = {
  label: "clip",
  bindings: ["read", "read_write"],
  code: /* wgsl */ `
@group(0) @binding(0) var<storage, read> norm: array<f32>;
@group(0) @binding(1) var<storage, read_write> g: array<vec4f>;
${head("most: f32")}
  let ratio = params.most / (norm[0] + 1e-6);
  let is_nan = (bitcast<u32>(ratio) & 0x7fffffffu) > 0x7f800000u;
  g[i] *= select(min(1.0, ratio), ratio, is_nan);
}`,
};

const SQUARES: SumTerms = { label: "squares", term: "value * value", finish: "total" };
const NORM: SumTerms = { ...SQUARES, label: "joint norm", finish: "sqrt(total)" };
const ROOT: SumTerms = { ...NORM, term: "value" };

/**
 * Records an AdamW step of many parameters, in one dispatch where they lie side by side. `p`, `m` and `v` change in place where they
 * lie in an arena and nobody else holds them; else they are copied into one first.
 *
 * @param numbers a table whose `row` holds the step's `ADAMW_NUMBERS`
 * @returns the storages with the new values: those that were given, or new ones
 */
export function adamwOnGpu(gpu: Gpu, { p, g, m, v }: AdamwColumns, numbers: GpuStorage, row: number): Omit<AdamwColumns, "g"> {
  const made: GpuStorage[] = [];
  const moved = (storages: readonly GpuStorage[], label: string): readonly GpuStorage[] => {
    const copies = gathered(gpu, storages, label);
    made.push(...copies);
    return copies;
  };
  const own = (storages: readonly GpuStorage[], label: string): readonly GpuStorage[] =>
    storages.every((storage) => inArena(storage) && !storage.isShared) ? storages : moved(storages, label);
  try {
    const next = { p: own(p, "parameters"), m: own(m, "first moments"), v: own(v, "second moments") };
    const columns = [next.p, next.m, next.v];
    const isReady = g.every(inArena) && runsOf([g, ...columns]).length === runsOf(columns).length;
    const gradients = isReady ? g : gathered(gpu, g, "gradients");
    for (const { buffers, floats } of runsOf([gradients, ...columns])) {
      dispatch(gpu, ADAMW, [numbers.buffer, ...buffers], floats, row);
    }
    if (!isReady) for (const storage of gradients) storage.release();
    return next;
  } catch (error) {
    for (const storage of made) storage.release();
    throw error;
  }
}

/** Records the joint L2 norm of `gradients`, and copies of them times `min(1, maxNorm / (norm + 1e-6))`, side by side. */
export function clippedOnGpu(gpu: Gpu, gradients: readonly GpuStorage[], maxNorm: number): { readonly clipped: GpuStorage[]; readonly norm: GpuStorage } {
  const norm = GpuStorage.allocate(gpu, "f32", 1, NORM.label);
  const made = [norm];
  try {
    const clipped = gathered(gpu, gradients, "gradients");
    made.push(...clipped);
    const runs = runsOf([clipped]);
    recordNorm(gpu, runs, norm.buffer);
    const [most] = new Uint32Array(Float32Array.of(maxNorm).buffer);
    for (const { buffers, floats } of runs) dispatch(gpu, CLIP, [norm.buffer, ...buffers], floats, most);
    return { clipped, norm };
  } catch (error) {
    for (const storage of made) storage.release();
    throw error;
  }
}

/** The sums of squares of several runs are summed in turn. */
function recordNorm(gpu: Gpu, runs: readonly Run[], norm: GpuBuffer): void {
  if (runs.length === 1) {
    recordSum(gpu, NORM, runs[0], norm);
    return;
  }
  const totals = zeroArena(gpu, runs.map(() => 1), SQUARES.label);
  for (const [i, run] of runs.entries()) recordSum(gpu, SQUARES, run, totals[i].buffer);
  recordSum(gpu, ROOT, runsOf([totals])[0], norm);
  for (const total of totals) total.release();
}

const recordSum = (gpu: Gpu, terms: SumTerms, { buffers, floats }: Run, output: GpuBuffer): void =>
  dispatchPlan(gpu, sumPlan(kernelProfile(gpu), terms, { outer: 1, reduced: floats, inner: 1 }), buffers, output);

const dispatch = (gpu: Gpu, kernel: KernelSource, buffers: readonly GpuBuffer[], floats: number, param: number): void =>
  gpu.stream.dispatch(kernel, buffers, Uint32Array.of(floats / 4, param), foldGrid(Math.ceil(floats / 4 / LANES)));
