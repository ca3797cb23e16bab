import type { KernelPlan, KernelProfile } from "../tensor/op-spec.ts";
import { foldGrid } from "./fold-grid.ts";
import { type LaneKernelShape, laneKernel } from "./gemm-lanes.ts";
import { tileKernel } from "./gemm-tile.ts";
import type { GemmKernel, GemmMode } from "./gemm-wgsl.ts";

export type { GemmMode } from "./gemm-wgsl.ts";

/** Sizes of `C[b] = op(A[b]) · op(B[b])`, C being [batch, m, n]; any of them may be 0. */
export interface GemmSize {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  /** Elements from one A to the next; 0 uses one A for all. Default m·k. */
  readonly strideA?: number;
  /** Elements from one B to the next; 0 uses one B for all. Default k·n. */
  readonly strideB?: number;
}

/**
 * Plans the product of f32 matrices, row-major, one after the other: buffers A, B, C. Every element of C is written,
 * zeros for k = 0.
 */
export function gemmPlan(profile: KernelProfile, mode: GemmMode, size: GemmSize): KernelPlan {
  const { batch, m, n, k, strideA = m * k, strideB = k * n } = size;
  const { source, rows, columns } = chooseKernel(profile, mode, { ...size, strideA, strideB });
  const rowTiles = Math.ceil(m / rows);
  const columnTiles = Math.ceil(n / columns);
  const tiles = batch * rowTiles * columnTiles;
  const params = Uint32Array.of(m, n, k, strideA, strideB, rowTiles, columnTiles, tiles);
  return { kernel: source, grid: foldGrid(tiles), params };
}

function chooseKernel(profile: KernelProfile, mode: GemmMode, size: Required<GemmSize>): GemmKernel {
  if (!profile.isSoftware) return tiled(mode);
  const aligned = isAligned(mode, size);
  const lanes = profile.subgroups ? profile.subgroupSize : null;
  if (lanes !== 4 && lanes !== 8 && lanes !== 16) return inLanes({ mode, aligned, lanes: 8, share: false, rows: 8 });
  const rows = lanes === 4 || (lanes === 8 && size.m <= 8) ? 8 : 16;
  return inLanes({ mode, aligned, lanes, share: true, rows });
}

function isAligned(mode: GemmMode, { m, n, k, strideA, strideB }: Required<GemmSize>): boolean {
  const lengths = [n, k, strideA, strideB, mode === "TN" ? m : 0];
  return lengths.every((length) => length % 4 === 0);
}

const built = new Map<string, GemmKernel>();

function once(key: string, build: () => GemmKernel): GemmKernel {
  const kernel = built.get(key) ?? build();
  built.set(key, kernel);
  return kernel;
}

const tiled = (mode: GemmMode): GemmKernel => once(`tile ${mode}`, () => tileKernel(mode));
const inLanes = (shape: LaneKernelShape): GemmKernel => once(JSON.stringify(shape), () => laneKernel(shape));
