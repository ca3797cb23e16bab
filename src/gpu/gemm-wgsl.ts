import type { StoredFormat } from "../tensor/dtype.ts";
import type { KernelSource } from "../tensor/op-spec.ts";
import { GROUP_NUMBER } from "./fold-grid.ts";
import { storedFours } from "./stored-kernels.ts";

/** How A and B are stored: NN is A[m,k]·B[k,n], NT is A[m,k]·B[n,k]ᵀ, TN is A[k,m]ᵀ·B[k,n]. */
export type GemmMode = "NN" | "NT" | "TN";

/** A GEMM kernel and the part of C that one of its workgroups computes. */
export interface GemmKernel {
  readonly source: KernelSource;
  readonly rows: number;
  readonly columns: number;
}

/** Joins `count` lines of WGSL, `line(0)` to `line(count - 1)`. */
export const unroll = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join("\n");

/** The parameters of every GEMM kernel, as `gemmPlan` fills them. Strides are elements from one batch to the next. */
export const GEMM_PARAMS = /* wgsl */ `
struct Params { m: u32, n: u32, k: u32, strideA: u32, strideB: u32, rowTiles: u32, columnTiles: u32, tiles: u32 }
@group(1) @binding(0) var<uniform> p: Params;`;

/** What B's elements are stored as. */
export type GemmFormat = "f32" | StoredFormat;

/** How the matrices lie in their buffers. */
export interface GemmLayout {
  /** Every row of the f32 matrices is a multiple of four elements, and so is k. */
  readonly aligned: boolean;
  /** What B is stored as; of a stored format every row is a multiple of four elements, aligned or not. */
  readonly format: GemmFormat;
}

/** What the name of a kernel says of its layout. */
export const layoutLabel = ({ aligned, format }: GemmLayout): string => `${format === "f32" ? "" : ` ${format}`}${aligned ? "" : " ragged"}`;

/**
 * Declares the three buffers, as vec4f where every row is a multiple of four elements and B as words where it is stored, and
 * `loadA`, `loadB` (four elements from `at` on; from the `keep`-th on they are zero), `keepK` (all four elements of
 * row k, none past the edge) and `store`.
 */
export const gemmBuffers = (layout: GemmLayout): string => /* wgsl */ `
${gemmOperands(layout)}
@group(0) @binding(2) var<storage, read_write> c: array<${layout.aligned ? "vec4f" : "f32"}>;
${layout.aligned ? ALIGNED : RAGGED}`;

/** As `gemmBuffers`, but only A and B with `loadA` and `loadB`. */
export function gemmOperands({ aligned, format }: GemmLayout): string {
  const element = aligned ? "vec4f" : "f32";
  return /* wgsl */ `
@group(0) @binding(0) var<storage, read> a: array<${element}>;
@group(0) @binding(1) var<storage, read> b: array<${format === "f32" ? element : "u32"}>;
${aligned ? "" : FIRST}
fn loadA(at: u32, keep: u32) -> vec4f { return ${aligned ? "a[at / 4u]" : raggedLoad("a")}; }
${format === "f32" ? "" : storedFours(format, "b")}
fn loadB(at: u32, keep: u32) -> vec4f { return ${loadOfB({ aligned, format })}; }`;
}

function loadOfB({ aligned, format }: GemmLayout): string {
  if (format === "f32") return aligned ? "b[at / 4u]" : raggedLoad("b");
  const four = "four_at(at, p.n * p.k)";
  return aligned ? four : `first(keep, ${four})`;
}

const raggedLoad = (from: "a" | "b"): string =>
  `first(keep, vec4f(${[0, 1, 2, 3].map((i) => `${from}[at + ${i}u]`).join(", ")}))`;

const ALIGNED = /* wgsl */ `
fn keepK(k: u32) -> u32 { return 4u; }
fn store(at: u32, keep: u32, value: vec4f) { c[at / 4u] = value; }`;

// select, not a product with zero: what lies past the edge may be NaN.
const FIRST = "fn first(keep: u32, value: vec4f) -> vec4f { return select(vec4f(), value, vec4u(0u, 1u, 2u, 3u) < vec4u(keep)); }";

const RAGGED = /* wgsl */ `
fn keepK(k: u32) -> u32 { return select(0u, 4u, k < p.k); }
fn store(at: u32, keep: u32, value: vec4f) {
  c[at] = value.x;
  if (keep > 1u) { c[at + 1u] = value.y; }
  if (keep > 2u) { c[at + 2u] = value.z; }
  if (keep > 3u) { c[at + 3u] = value.w; }
}`;

/** Finds the tile of this workgroup: `row0`, `column0` and `batch`. Uniform, so barriers may follow. */
export const gemmTile = (rows: number, columns: number): string => /* wgsl */ `
  let tile = ${GROUP_NUMBER};
  if (tile >= p.tiles) { return; }
  // Down the columns: of A and B, activations and a weight, B is the larger, and its part stays in the cache.
  let row0 = tile % p.rowTiles * ${rows}u;
  let column0 = tile / p.rowTiles % p.columnTiles * ${columns}u;
  let batch = tile / (p.rowTiles * p.columnTiles);`;
