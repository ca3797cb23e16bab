import type { KernelProfile } from "../tensor/op-spec.ts";
import type { TileShape } from "./gemm-tile.ts";

const THREADS = { threadsX: 8, threadsY: 8 };
const tile = (ownRows: number, ownColumns: number, depth: number): [string, TileShape] => [
  `${8 * ownRows}x${8 * ownColumns}x${depth}`,
  { ...THREADS, ownRows, ownColumns, depth },
];

/**
 * The tiles to choose from by name (rows x columns x depth), from large to small: a larger one reads less of A and B for each product,
 * and takes more registers.
 */
export const TILES: ReadonlyMap<string, TileShape> = new Map([
  tile(8, 8, 16),
  tile(8, 8, 8),
  tile(8, 4, 16),
  tile(8, 4, 8),
  tile(4, 4, 16),
  tile(4, 4, 8),
]);

/** Who makes GPUs with registers for the large tiles; on Apple's and Intel's they spill (llama.cpp #22241, #10982). */
const MANY_REGISTERS: readonly string[] = ["nvidia", "amd"];

/** Tiles that pay on a GPU that was not measured, from large to small. */
const unmeasured = (vendor: string): readonly string[] =>
  MANY_REGISTERS.includes(vendor) ? ["64x64x16", "64x32x16", "32x32x16"] : ["32x32x16"];

/** The largest tile that pays on this GPU and leaves it `enough` workgroups for `batch` results of m x n. */
export function tileFor({ vendor = "", tiles }: KernelProfile, { batch, m, n }: Readonly<Record<"batch" | "m" | "n", number>>, enough: number): TileShape {
  const shapes = (tiles ?? unmeasured(vendor)).flatMap((name) => TILES.get(name) ?? []);
  const count = ({ threadsX, threadsY, ownRows, ownColumns }: TileShape): number =>
    batch * Math.ceil(m / (threadsY * ownRows)) * Math.ceil(n / (threadsX * ownColumns));
  return shapes.find((shape) => count(shape) >= enough) ?? shapes[shapes.length - 1];
}
