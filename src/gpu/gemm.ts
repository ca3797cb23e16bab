import type { StoredFormat } from "../tensor/dtype.ts";
import type { KernelDispatch, KernelPlan, KernelProfile } from "../tensor/op-spec.ts";
import { foldGrid } from "./fold-grid.ts";
import { type FewRowsShape, fewRowsFor, fewRowsKernel } from "./gemm-few-rows.ts";
import { type LaneKernelShape, laneKernel } from "./gemm-lanes.ts";
import { type TileKernelShape, tileKernel } from "./gemm-tile.ts";
import { tileFor } from "./gemm-tile-choice.ts";
import type { GemmFormat, GemmKernel, GemmMode } from "./gemm-wgsl.ts";
import { partsPlan } from "./sum-kernel.ts";

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
 * zeros for k = 0. A gradient of a narrow weight, a long sum with few results, is summed in parts side by side.
 */
export function gemmPlan(profile: KernelProfile, mode: GemmMode, size: GemmSize): KernelPlan {
  const full = filled(size);
  const { batch, m, n, k } = full;
  const whole = dispatchOf(profile, mode, full);
  const parts = mode === "TN" && batch === 1 ? partsFor(profile, k, whole.params[TILE_COUNT]) : 1;
  if (parts === 1) return whole;
  const part = { ...full, batch: parts, k: k / parts, strideA: (k / parts) * m, strideB: (k / parts) * n };
  return { ...partsPlan(profile, parts, m * n), first: { ...dispatchOf(profile, mode, part), floats: parts * m * n } };
}

const filled = ({ batch, m, n, k, strideA = m * k, strideB = k * n }: GemmSize): Required<GemmSize> => ({ batch, m, n, k, strideA, strideB });

/**
 * Plans a product as `gemmPlan`, of one B in a stored format that is decoded on its way: buffers A, B as words, C.
 *
 * @returns null where the rows of B do not consist of whole fours
 */
export function storedGemmPlan(format: StoredFormat, profile: KernelProfile, mode: "NN" | "NT", size: Omit<GemmSize, "batch">): KernelPlan | null {
  const row = mode === "NT" ? size.k : size.n;
  return row % 4 === 0 ? dispatchOf(profile, mode, filled({ ...size, batch: 1 }), format) : null;
}

/** Position of the number of workgroups in the parameters. */
const TILE_COUNT = 7;
/** Workgroups that keep an adapter busy: one that computes on the CPU, and a GPU. */
const BUSY = { software: 2, hardware: 128 };
/** Shortest sum that is worth a workgroup. */
const SHORTEST = 64;

/** In how many equal parts to compute sums over `k` where the result has `tiles` tiles. */
function partsFor({ isSoftware }: KernelProfile, k: number, tiles: number): number {
  const wanted = isSoftware ? BUSY.software : BUSY.hardware;
  let parts = 1;
  while (tiles > 0 && parts * tiles < wanted && k % (8 * parts) === 0 && k / (2 * parts) >= SHORTEST) parts *= 2;
  return parts;
}

function dispatchOf(profile: KernelProfile, mode: GemmMode, size: Required<GemmSize>, format: GemmFormat = "f32"): KernelDispatch {
  return gemmDispatch(chooseKernel(profile, mode, size, format), size);
}

/** One dispatch of a kernel over all of C. */
export function gemmDispatch({ source, rows, columns }: GemmKernel, size: GemmSize): KernelDispatch {
  const { batch, m, n, k, strideA, strideB } = filled(size);
  const rowTiles = Math.ceil(m / rows);
  const columnTiles = Math.ceil(n / columns);
  const tiles = batch * rowTiles * columnTiles;
  const params = Uint32Array.of(m, n, k, strideA, strideB, rowTiles, columnTiles, tiles);
  return { kernel: source, grid: foldGrid(tiles), params };
}

function chooseKernel(profile: KernelProfile, mode: GemmMode, size: Required<GemmSize>, format: GemmFormat): GemmKernel {
  const few = mode === "NT" ? fewRowsFor(profile, size) : null;
  if (few) return ofFewRows({ aligned: areFours(size.k, size.strideA, size.strideB), format, ...few });
  const layout = { aligned: isAligned(mode, size), format };
  if (!profile.isSoftware) return tiled({ mode, ...layout, ...tileFor(profile, size, BUSY.hardware) });
  const lanes = profile.subgroups ? profile.subgroupSize : null;
  if (lanes !== 4 && lanes !== 8 && lanes !== 16) return inLanes({ mode, ...layout, lanes: 8, share: false, rows: 8 });
  const rows = lanes === 4 || (lanes === 8 && size.m <= 8) ? 8 : 16;
  return inLanes({ mode, ...layout, lanes, share: true, rows });
}

function isAligned(mode: GemmMode, { m, n, k, strideA, strideB }: Required<GemmSize>): boolean {
  return areFours(n, k, strideA, strideB, mode === "TN" ? m : 0);
}

const areFours = (...lengths: readonly number[]): boolean => lengths.every((length) => length % 4 === 0);

const built = new Map<string, GemmKernel>();

function once(key: string, build: () => GemmKernel): GemmKernel {
  const kernel = built.get(key) ?? build();
  built.set(key, kernel);
  return kernel;
}

const ofFewRows = (shape: FewRowsShape): GemmKernel => once(`few ${Object.values(shape).join(" ")}`, () => fewRowsKernel(shape));
const tiled = (shape: TileKernelShape): GemmKernel => once(`tile ${Object.values(shape).join(" ")}`, () => tileKernel(shape));
const inLanes = (shape: LaneKernelShape): GemmKernel => once(Object.values(shape).join(" "), () => laneKernel(shape));
