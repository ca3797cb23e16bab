import { GROUP_NUMBER } from "./fold-grid.ts";

/** Rows of queries (or keys) that an invocation owns, and rows of the other side that it meets at a time. */
export const TILE = 4;
/** Invocations of a workgroup. */
export const WORKGROUP = 32;

const AXES = ["x", "y", "z", "w"] as const;

/** Joins the lines that `line` makes for each row of a tile. */
export const eachRow = (line: (row: number) => string): string =>
  Array.from({ length: TILE }, (_, row) => line(row)).join("\n");

/** The parameters, as `attentionPlan` fills them: `blocks` of TILE rows, `count` invocations, `nan` a NaN. */
const PARAMS = /* wgsl */ `
struct Params { t: u32, s: u32, g: u32, m: u32, d: u32, blocks: u32, count: u32, scale: f32, nan: f32 }
@group(1) @binding(0) var<uniform> p: Params;
const lowest = -3.4028234e38;

// Arithmetic may assume that there is no NaN; its bits cannot be overlooked.
fn odd(x: vec4f) -> vec4<bool> { return (bitcast<vec4u>(x) & vec4u(0x7f800000u)) == vec4u(0x7f800000u); }
fn expo(x: vec4f) -> vec4f { return select(exp(x), x, odd(x)); }
// What is not ok may be NaN: select, not a product with zero.
fn weigh(w: vec4f, ok: vec4<bool>, x0: vec4f, x1: vec4f, x2: vec4f, x3: vec4f) -> vec4f {
  let low = select(vec4f(), w.x * x0, ok.x) + select(vec4f(), w.y * x1, ok.y);
  return low + select(vec4f(), w.z * x2, ok.z) + select(vec4f(), w.w * x3, ok.w);
}`;

/** One buffer of a kernel: rows of d floats, one float a row, or the mask. */
export interface AttentionBuffer {
  readonly name: string;
  readonly holds: "rows" | "scalars" | "mask";
}

/**
 * The parameters, the buffers (the last one is the output) and, for rows, `load_name(at, keep)`: four floats
 * from `at` on, zero from the `keep`-th on. `aligned` when d is a multiple of four.
 */
export function attentionHeader(buffers: readonly AttentionBuffer[], aligned: boolean): string {
  const declared = buffers.map(({ name, holds }, binding) => {
    const access = binding === buffers.length - 1 ? "read_write" : "read";
    const element = { rows: aligned ? "vec4f" : "f32", scalars: "f32", mask: "i32" }[holds];
    const load = holds === "rows" ? `\n${loader(name, aligned)}` : "";
    return `@group(0) @binding(${binding}) var<storage, ${access}> ${name}: array<${element}>;${load}`;
  });
  return [PARAMS, ...declared].join("\n");
}

function loader(name: string, aligned: boolean): string {
  const head = `fn load_${name}(at: u32, keep: u32) -> vec4f`;
  if (aligned) return `${head} { return ${name}[at / 4u]; }`;
  return `${head} {
  let four = vec4f(${name}[at], ${name}[at + 1u], ${name}[at + 2u], ${name}[at + 3u]);
  return select(vec4f(), four, vec4u(0u, 1u, 2u, 3u) < vec4u(keep));
}`;
}

/** `store(at, keep, value)` into rows of the output. */
export function storeRows(output: string, aligned: boolean): string {
  if (aligned) return `fn store(at: u32, keep: u32, value: vec4f) { ${output}[at / 4u] = value; }`;
  const rest = [1, 2, 3].map((j) => `  if (keep > ${j}u) { ${output}[at + ${j}u] = value.${AXES[j]}; }`);
  return [`fn store(at: u32, keep: u32, value: vec4f) {`, `  ${output}[at] = value.x;`, ...rest, "}"].join("\n");
}

/** `main` around `body`, one invocation for each of `p.count`, its number in `index`. */
export const attentionMain = (body: string): string => /* wgsl */ `
@compute @workgroup_size(${WORKGROUP})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (${GROUP_NUMBER}) * ${WORKGROUP}u + lane;
  if (index >= p.count) { return; }
  let heads = p.g * p.m;
${body}
}`;

/** Sums over d of the products of rows: `sum0`[c] to `sum3`[c] of own row 0 to 3 with other row c. */
export interface Products {
  readonly sum: string;
  readonly own: string;
  readonly other: string;
}

/** Computes `tiles` in one walk along d. Rows past the edge give sums that no one uses. */
export function productTiles(tiles: readonly Products[]): string {
  const declared = tiles.map(({ sum }) => eachRow((r) => `    var ${sum}${r} = vec4f();`));
  const added = tiles.map(({ sum, own, other }) => {
    const dots = (r: number): string => AXES.map((_, c) => `dot(${own}${r}, ${other}${c})`).join(", ");
    const sums = eachRow((r) => `      ${sum}${r} += vec4f(${dots(r)});`);
    return [loadTile(own, "own"), loadTile(other, "other"), sums].join("\n");
  });
  return [...declared, ALONG_D, ...added, "    }"].join("\n");
}

/** `output[own row] = output[own row] · keep0..3 + Σ_c w[c] · values[other row c]`, where `ok[c]`. */
export function accumulateTile(output: string, values: string, fade: string | null): string {
  const sum = (r: number): string => `weigh(w${r}, ok${r}, ${AXES.map((_, c) => `${values}${c}`).join(", ")})`;
  const before = (r: number): string => `load_${output}(at, p.d - i)${fade ? ` * ${fade}${r}` : ""}`;
  const add = updateRows((r) => `${before(r)} + ${sum(r)}`);
  return [ALONG_D, loadTile(values, "other"), add, "    }"].join("\n");
}

/** Sets the own rows of the output to zero. */
export const clearRows = (): string =>
  [ALONG_D, updateRows(() => "vec4f()"), "    }"].join("\n");

/** Stores `value(row)` at step `i` of each own row that exists; `at` is where. */
export const updateRows = (value: (row: number) => string): string =>
  eachRow(
    (r) => `      if (${r}u < rows) {
        let at = own + ${r}u * ownStride + i;
        store(at, p.d - i, ${value(r)});
      }`,
  );

/** A walk along d in steps of four, closed by the caller. */
export const ALONG_D = "    for (var i = 0u; i < p.d; i += 4u) {";

const loadTile = (name: string, side: "own" | "other"): string =>
  eachRow((r) => `      let ${name}${r} = load_${name}(${side} + ${r}u * ${side}Stride + i, p.d - i);`);

/**
 * Sets `own` (a tile of queries), `rows`, `otherStart` (key 0) and `keys0` to `keys3`, the keys that a row
 * may see.
 */
export const OWN_QUERIES = /* wgsl */ `
  let head = index % heads;
  let t0 = index / heads % p.blocks * ${TILE}u;
  let batch = index / heads / p.blocks;
  let rows = min(${TILE}u, p.t - t0);
  let ownStride = heads * p.d;
  let own = ((batch * p.t + t0) * heads + head) * p.d;
  let otherStride = p.g * p.d;
  let otherStart = (batch * p.s * p.g + head / p.m) * p.d;
${eachRow((r) => `  let keys${r} = u32(clamp(i32(t0 + ${r + 1}u + p.s) - i32(p.t), 0, i32(p.s)));`)}`;

/**
 * Inside a loop over `j0`: `other`, and `ok0` to `ok3`: which of the keys j0 .. j0 + 3 each row attends to.
 */
export const OPEN_KEYS = /* wgsl */ `
    let other = otherStart + j0 * otherStride;
    let j = vec4u(j0) + vec4u(0u, 1u, 2u, 3u);
    let at = batch * p.s + j0;
    let open = vec4i(mask[at], mask[at + 1u], mask[at + 2u], mask[at + 3u]) != vec4i();
${eachRow((r) => `    let ok${r} = open & (j < vec4u(keys${r}));`)}`;
