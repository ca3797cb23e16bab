import { PolargradError } from "../tensor/errors.ts";
import type { KernelDispatch } from "../tensor/op-spec.ts";
import type { GpuBuffer } from "./buffer.ts";
import type { Gpu } from "./device.ts";
import { type GemmSize, gemmDispatch } from "./gemm.ts";
import { tileKernel } from "./gemm-tile.ts";
import { TILES } from "./gemm-tile-choice.ts";

/** Large enough for the largest tiles to keep a GPU busy, small enough to take milliseconds on a small one: 2^31 flops. */
const SIDE = 1024;
const ROUNDS = 4;
/** Milliseconds of work between two readings of the clock. */
const SPAN = 10;
const MOST_RUNS = 64;
/** A larger tile has to be this much faster than all smaller ones: small products run in fewer kernels then. */
const GAIN = 0.97;
/** Of the largest element; f32 rounds a sum of 1024 terms to a hundredth of it. */
const LARGEST_ERROR = 1e-4;

/** How long `run` takes, in milliseconds. */
export type Stopwatch = (run: () => Promise<void>, name: string) => Promise<number>;

/** One tile's kernel, which is ready to run. */
interface Candidate {
  readonly name: string;
  readonly dispatch: KernelDispatch;
}

/**
 * Measures which tiles pay on this GPU: of each size the faster depth, where it beats all smaller sizes at a large product. Every time
 * is gated on the result; a tile whose kernel does not compile or is wrong is left out.
 *
 * @param side length of the square matrices, a multiple of four
 * @returns names from large to small, the smallest size always among them
 */
export async function measureTiles(gpu: Gpu, stopwatch: Stopwatch = wallClock, side: number = SIDE): Promise<readonly string[]> {
  const size = { batch: 1, m: side, n: side, k: side };
  const [a, b] = [wave(side, 7), wave(side, 11)];
  const buffers: GpuBuffer[] = [];
  try {
    for (const label of ["a", "b", "c"]) buffers.push(gpu.pool.acquire(4 * side * side, `tuning ${label}`));
    gpu.stream.write(buffers[0], a);
    gpu.stream.write(buffers[1], b);
    const candidates: Candidate[] = [];
    for (const candidate of await compiled(gpu, size)) if (await isRight(gpu, candidate, buffers, { a, b, side })) candidates.push(candidate);
    if (candidates.length === 0) throw new PolargradError(`no kernel of ${[...TILES.keys()].join(", ")} computes a right product on ${gpu.profile.description}`);
    return worthwhile(await timeAll(gpu, candidates, buffers, stopwatch));
  } finally {
    for (const buffer of buffers) gpu.pool.release(buffer);
  }
}

/** Numbers of about 1, no two lines the same. */
const wave = (side: number, step: number): Float32Array => Float32Array.from({ length: side * side }, (_, i) => Math.sin(step * i + i / side));

async function compiled(gpu: Gpu, size: GemmSize): Promise<Candidate[]> {
  const made = [...TILES].map(([name, tile]) => ({ name, dispatch: gemmDispatch(tileKernel({ mode: "NT", aligned: true, format: "f32", ...tile }), size) }));
  const ready = await Promise.allSettled(made.map(({ dispatch }) => gpu.stream.compile(dispatch.kernel)));
  gpu.check();
  return made.filter((_, i) => ready[i].status === "fulfilled");
}

interface Matrices {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly side: number;
}

/** Whether some elements all over the result are those of f64. */
async function isRight(gpu: Gpu, candidate: Candidate, buffers: readonly GpuBuffer[], { a, b, side }: Matrices): Promise<boolean> {
  gpu.stream.clear(buffers[2]);
  await runs(gpu, candidate, buffers, 1);
  const c = new Float32Array(await gpu.stream.read(buffers[2]));
  let [worst, largest] = [0, 0];
  for (let place = 0; place < side; place++) {
    const [row, column] = [place, (place * 37) % side];
    let exact = 0;
    for (let k = 0; k < side; k++) exact += a[row * side + k] * b[column * side + k];
    worst = Math.max(worst, Math.abs(exact - c[row * side + column]));
    largest = Math.max(largest, Math.abs(exact));
  }
  return worst <= LARGEST_ERROR * largest;
}

async function runs(gpu: Gpu, { dispatch: { kernel, params, grid } }: Candidate, buffers: readonly GpuBuffer[], count: number): Promise<void> {
  for (let i = 0; i < count; i++) gpu.stream.dispatch(kernel, buffers, params, grid);
  await gpu.stream.finish();
}

/** The shortest time of each candidate, all taking turns. */
async function timeAll(gpu: Gpu, candidates: readonly Candidate[], buffers: readonly GpuBuffer[], stopwatch: Stopwatch): Promise<Map<string, number>> {
  const time = (candidate: Candidate, count: number): Promise<number> => stopwatch(() => runs(gpu, candidate, buffers, count), candidate.name);
  const count = Math.max(1, Math.min(MOST_RUNS, Math.ceil(SPAN / (await time(candidates[0], 1)))));
  const best = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round++) {
    for (const candidate of candidates) {
      const { name } = candidate;
      best.set(name, Math.min(best.get(name) ?? Number.POSITIVE_INFINITY, await time(candidate, count)));
    }
  }
  return best;
}

/** From the times of tiles, from large to small: of each size the fastest, if it is faster than every smaller size that is kept. */
function worthwhile(times: ReadonlyMap<string, number>): readonly string[] {
  const kept: { readonly name: string; readonly size: string; readonly time: number }[] = [];
  const byTime = [...times].map(([name, time]) => ({ name, time, size: name.replace(/x\d+$/, "") }));
  for (const size of [...new Set(byTime.map((tile) => tile.size))].reverse()) {
    const fastest = byTime.filter((tile) => tile.size === size).reduce((x, y) => (y.time < x.time ? y : x));
    if (kept.every(({ time }) => fastest.time <= GAIN * time)) kept.unshift(fastest);
  }
  return kept.map(({ name }) => name);
}

const wallClock: Stopwatch = async (run) => {
  const start = performance.now();
  await run();
  return performance.now() - start;
};
