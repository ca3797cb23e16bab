import { GEMM_PARAMS, type GemmKernel, type GemmLayout, type GemmMode, gemmBuffers, gemmTile, layoutLabel, unroll } from "./gemm-wgsl.ts";

/** What tells the kernels of this family apart. */
export interface LaneKernelShape extends GemmLayout {
  readonly mode: GemmMode;
  /** Lanes of a workgroup; with `share` exactly one subgroup. */
  readonly lanes: 4 | 8 | 16;
  /** Lanes load different parts of A and broadcast them; else every lane loads all of its part. */
  readonly share: boolean;
  /** Rows of C that a lane computes; with `share` a multiple of `lanes`, else of four. */
  readonly rows: number;
}

const AXES = ["x", "y", "z", "w"] as const;

/**
 * GEMM for adapters that compute on the CPU: no barriers, no workgroup memory. There a storage load costs as much as
 * many multiplications, even one that all lanes share; hence large register tiles, and with `share` one load of A a
 * subgroup. A workgroup computes `rows` x `4 * lanes` of C, a lane four neighbouring columns:
 *
 *     for k in steps of 4: load A[rows, 4] and B[4, columns]; for j of 4, row of rows: c[row] += A[row, j] * B[j]
 */
export function laneKernel(shape: LaneKernelShape): GemmKernel {
  const { mode, lanes, share, rows } = shape;
  const columns = lanes * 4;
  const label = `gemm ${mode} ${share ? "subgroup" : "register"} ${rows}x${columns}${layoutLabel(shape)}`;
  const code = /* wgsl */ `
${share ? "enable subgroups;" : ""}
${GEMM_PARAMS}
${gemmBuffers(shape)}

@compute @workgroup_size(${lanes})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(${share ? "subgroup_invocation_id" : "local_invocation_index"}) lane: u32,
) {
  ${gemmTile(rows, columns)}
  let column = column0 + 4u * lane;
  let startA = batch * p.strideA;
  let startB = batch * p.strideB;
${unroll(rows, (row) => `  var c${row} = vec4f();`)}

  // Rows and columns past the edge read something and are not stored; k past the edge reads zeros.
  for (var k = 0u; k < p.k; k += 4u) {
${share ? loadSharedA(shape) : loadOwnA(shape)}
${loadB(mode)}
${unroll(4 * rows, (step) => multiply(shape, step % rows, Math.floor(step / rows)))}
  }

  if (column >= p.n) { return; }
  let at = (batch * p.m + row0) * p.n + column;
  let keep = p.n - column;
  // A loop, since Mesa takes long to compile each store.
  var all = array<vec4f, ${rows}>(${Array.from({ length: rows }, (_, row) => `c${row}`).join(", ")});
  for (var row = 0u; row < min(${rows}u, p.m - row0); row++) { store(at + row * p.n, keep, all[row]); }
}`;
  return { source: { label, code, bindings: ["read", "read", "read_write"] }, rows, columns };
}

// Each load fetches four elements of A for every lane, `lanes` rows in all.
// NN, NT: lane l holds row l, four k. TN: lane l holds rows 4 * (l / 4) .. + 3 of the k-th step l % 4.
function loadSharedA({ mode, lanes, rows }: LaneKernelShape): string {
  return unroll(rows / lanes, (load) => {
    const row = `row0 + ${load * lanes}u`;
    return mode === "TN"
      ? `    let a${load} = loadA(startA + (k + lane % 4u) * p.m + ${row} + lane / 4u * 4u, keepK(k + lane % 4u));`
      : `    let a${load} = loadA(startA + (${row} + lane) * p.k + k, p.k - k);`;
  });
}

// NN, NT: vector `row` holds four k. TN: vector 4 * quad + j holds four rows of the j-th k.
function loadOwnA({ mode, rows }: LaneKernelShape): string {
  return unroll(rows, (load) => {
    const step = `k + ${load % 4}u`;
    return mode === "TN"
      ? `    let a${load} = loadA(startA + (${step}) * p.m + row0 + ${load - (load % 4)}u, keepK(${step}));`
      : `    let a${load} = loadA(startA + (row0 + ${load}u) * p.k + k, p.k - k);`;
  });
}

// b0 .. b3 are B[k .. k + 3, column .. column + 3].
function loadB(mode: GemmMode): string {
  if (mode !== "NT") {
    return unroll(4, (j) => `    let b${j} = loadB(startB + (k + ${j}u) * p.n + column, keepK(k + ${j}u));`);
  }
  const rows = unroll(4, (j) => `    let r${j} = loadB(startB + (column + ${j}u) * p.k + k, p.k - k);`);
  const transposed = (axis: string): string => `vec4f(r0.${axis}, r1.${axis}, r2.${axis}, r3.${axis})`;
  return `${rows}\n${unroll(4, (j) => `    let b${j} = ${transposed(AXES[j])};`)}`;
}

// c[row] += A[row, k + j] * b[j]
function multiply(shape: LaneKernelShape, row: number, j: number): string {
  return `    c${row} += ${shape.share ? sharedElement(shape, row, j) : ownElement(shape.mode, row, j)} * b${j};`;
}

function sharedElement({ mode, lanes }: LaneKernelShape, row: number, j: number): string {
  const load = Math.floor(row / lanes);
  const within = row % lanes;
  return mode === "TN"
    ? `subgroupBroadcast(a${load}.${AXES[within % 4]}, ${within - (within % 4) + j}u)`
    : `subgroupBroadcast(a${load}.${AXES[j]}, ${within}u)`;
}

function ownElement(mode: GemmMode, row: number, j: number): string {
  return mode === "TN" ? `a${row - (row % 4) + j}.${AXES[row % 4]}` : `a${row}.${AXES[j]}`;
}
