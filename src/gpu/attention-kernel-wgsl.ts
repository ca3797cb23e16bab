import { GROUP_NUMBER } from "./fold-grid.ts";

/**
 * How an attention kernel is built. Every lane of a workgroup owns rows (queries, or keys for dk and dv) and keeps them in
 * registers; all walk the rows of the other side together. In the code of an own row, `#` ends the names that are its own.
 */
export interface AttentionShape {
  /** Parts of four that a head has: the walk along it is unrolled. */
  readonly parts: number;
  /** Heads of a multiple of four elements. */
  readonly aligned: boolean;
  /** Lanes of a workgroup; with `share` exactly one subgroup. */
  readonly lanes: number;
  /** Rows that a lane owns. */
  readonly own: number;
  /** Rows of the other side at a time: they are unrolled too. A power of two, with `share` at most `lanes`. */
  readonly tile: number;
  /** Each lane loads one row of the other side and hands it to the others; else every lane loads all rows. */
  readonly share: boolean;
}

/** Joins the lines that `line` makes for each four elements of a head. */
export const eachPart = ({ parts }: AttentionShape, line: (part: number) => string): string => repeat(parts, line);

/** Joins the lines that `line` makes for each row of a tile. */
export const eachRow = ({ tile }: AttentionShape, line: (row: number) => string): string => repeat(tile, line);

/** `code` for each of a lane's own rows. */
export const eachOwn = ({ own }: AttentionShape, code: string): string => repeat(own, (row) => code.replaceAll("#", "ABCDEFGH"[row]));

const repeat = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join("\n");

/** The parameters, as `attentionPlan` fills them: `blocks` workgroups for the rows of a head, `groups` in all, `nan` a NaN. */
const PARAMS = /* wgsl */ `
struct Params { t: u32, s: u32, g: u32, m: u32, d: u32, blocks: u32, groups: u32, scale: f32, nan: f32 }
@group(1) @binding(0) var<uniform> p: Params;
const lowest = -3.4028234e38;

// Arithmetic may assume that there is no NaN; its bits cannot be overlooked.
fn isOdd(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u; }
fn isOdd4(x: vec4f) -> vec4<bool> { return (bitcast<vec4u>(x) & vec4u(0x7f800000u)) == vec4u(0x7f800000u); }`;

/** One buffer of a kernel: rows of d floats, one float a row, or the mask. */
export interface AttentionBuffer {
  readonly name: string;
  readonly holds: "rows" | "scalars" | "mask";
}

/**
 * The parameters, the buffers (the last one is the output) and, for rows, `load_name(at, keep)`: four floats
 * from `at` on, zero from the `keep`-th on.
 */
export function attentionHeader(buffers: readonly AttentionBuffer[], { aligned, share }: AttentionShape): string {
  const declared = buffers.map(({ name, holds }, binding) => {
    const access = binding === buffers.length - 1 ? "read_write" : "read";
    const element = { rows: aligned ? "vec4f" : "f32", scalars: "f32", mask: "i32" }[holds];
    const load = holds === "rows" ? `\n${loader(name, aligned)}` : "";
    return `@group(0) @binding(${binding}) var<storage, ${access}> ${name}: array<${element}>;${load}`;
  });
  // What one lane of a subgroup branches on here, all do.
  const extensions = share ? "enable subgroups;\ndiagnostic(off, subgroup_uniformity);" : "";
  return [extensions, PARAMS, ...declared].join("\n");
}

function loader(name: string, aligned: boolean): string {
  const head = `fn load_${name}(at: u32, keep: u32) -> vec4f`;
  if (aligned) return `${head} { return ${name}[at / 4u]; }`;
  return `${head} {
  let four = vec4f(${name}[at], ${name}[at + 1u], ${name}[at + 2u], ${name}[at + 3u]);
  return select(vec4f(), four, vec4u(0u, 1u, 2u, 3u) < vec4u(keep));
}`;
}

/** `main` around `body`: `group` is the number of the workgroup, `lane` one of its lanes. */
export const attentionMain = ({ lanes, share }: AttentionShape, body: string): string => /* wgsl */ `
@compute @workgroup_size(${lanes})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(${share ? "subgroup_invocation_id" : "local_invocation_index"}) lane: u32,
) {
  let group = ${GROUP_NUMBER.replaceAll("group.", "id.")};
  if (group >= p.groups) { return; }
  let heads = p.g * p.m;
${body}
}`;

/** Parts up to which walks of memory along a head are unrolled. Mesa takes seconds to compile dozens of loads. */
const UNROLLED = 4;

/** `step(i)` at each fourth element `i` of a head: unrolled for short heads, else a loop whose length is no constant. */
export const alongHead = ({ parts }: AttentionShape, step: (i: string) => string): string =>
  parts <= UNROLLED ? repeat(parts, (part) => `    ${step(`${4 * part}u`)}`) : `    for (var i = 0u; i < p.d; i += 4u) { ${step("i")} }`;

/** Copies the row of `name` at `at` into an array `as` of its parts. */
export const loadRow = (shape: AttentionShape, name: string, at: string, as: string): string => `
    var ${as}: array<vec4f, ${shape.parts}>;
${alongHead(shape, (i) => `${as}[${i} / 4u] = load_${name}(${at} + ${i}, p.d - ${i});`)}`;

/** What a kernel reads of the other side. */
export interface OtherRows {
  /** Rows whose products with own rows are taken. */
  readonly rows: readonly string[];
  /** One of them that is also summed up. */
  readonly summed: string | null;
  /** Single floats of a row, with the WGSL that loads them at `stat`. */
  readonly scalars?: readonly string[];
  /** WGSL: whether the row `$j` counts at all; and its offsets in rows (may use `$stat`) and in scalars. */
  readonly open: string;
  readonly at: string;
  readonly stat?: string;
  /** WGSL: the number of rows. */
  readonly count: string;
}

/**
 * Walks the rows from `from` (a multiple of `lanes`, or the same for all of them) to `to`. In `body`, `j0 + r` is the number of
 * the tile's row r, `part(name, i, r)` part i of it, `scalar(name, r)` one of its floats, and its `flags` are 1 where it is open,
 * plus (with `share`) 2 where the summed row has something that is not finite.
 */
export function walkTiles(shape: AttentionShape, other: OtherRows, [from, to]: readonly [string, string], body: string): string {
  const { tile, lanes, share } = shape;
  if (!share) {
    const loads = eachRow(shape, (r) => loadOther(shape, other, `_${r}_`, `j0 + ${r}u`));
    return `  for (var j0 = ${from}; j0 < ${to}; j0 += ${tile}u) {\n${loads}\n${body}\n  }`;
  }
  const clean = (i: number): string => `    let odd${i} = isOdd4(other_${other.summed}[${i}]); flags_ |= select(0u, 2u, any(odd${i}));
    let finite${i} = select(other_${other.summed}[${i}], vec4f(), odd${i});`;
  return `  for (var start = ${from}; start < ${to}; start += ${lanes}u) {
${loadOther(shape, other, "_", "start + lane")}
${other.summed ? eachPart(shape, clean) : ""}
    for (var j0 = start; j0 < min(start + ${lanes}u, ${to}); j0 += ${tile}u) {
${body}
    }
  }`;
}

function loadOther(shape: AttentionShape, { rows, scalars = [], open, at, stat, count }: OtherRows, suffix: string, j: string): string {
  const own = (code: string): string => code.replaceAll("$j", `within${suffix}`).replaceAll("$stat", `stat${suffix}`);
  return `
    let j${suffix} = ${j};
    let within${suffix} = min(j${suffix}, ${count} - 1u);
    ${stat ? `let stat${suffix} = ${own(stat)};` : ""}
    let at${suffix} = ${own(at)};
    var flags${suffix} = select(0u, 1u, j${suffix} < ${count} && ${own(open)});
${scalars.map((name) => `    let ${name}${suffix} = ${name}[stat${suffix}];`).join("\n")}
${rows.map((name) => loadRow(shape, name, `at${suffix}`, `other${suffix}${name}`)).join("\n")}`;
}

// A constant lane where the tile has a row for each of them.
const fromLane = ({ lanes, tile }: AttentionShape, value: string, r: number): string =>
  tile === lanes ? `subgroupBroadcast(${value}, ${r}u)` : `subgroupShuffle(${value}, j0 - start + ${r}u)`;

/** WGSL: part `i` of row `r` of a tile. */
export const part = (shape: AttentionShape, name: string, i: number, r: number): string =>
  shape.share ? fromLane(shape, `other_${name}[${i}]`, r) : `other_${r}_${name}[${i}]`;

/** WGSL: a float of row `r` of a tile. */
export const scalar = (shape: AttentionShape, name: string, r: number): string =>
  shape.share ? fromLane(shape, `${name}_`, r) : `${name}_${r}_`;

/** `sum#0`, `sum#1`, …: the products of an own row with the rows of the tile. */
export const products = (shape: AttentionShape, sum: string, own: string, other: string): string =>
  eachRow(shape, (r) =>
    [
      eachOwn(shape, `    var ${sum}#${r} = 0.0;`),
      eachPart(shape, (i) => {
        const add = eachOwn(shape, `${sum}#${r} += dot(own_${own}#[${i}], x);`);
        return `    { let x = ${part(shape, other, i, r)}; ${add} }`;
      }),
    ].join("\n"),
  );

/** `ok#0`, `ok#1`, …: whether row r of the tile is open and, for an own row, `seen`. */
export const openRows = (shape: AttentionShape, seen: (r: number) => string): string =>
  eachRow(shape, (r) => {
    const open = eachOwn(shape, `    let ok#${r} = open${r} && ${seen(r)};`);
    return `    let open${r} = (${scalar(shape, "flags", r)} & 1u) != 0u;\n${open}`;
  });

/** Declares the sum of an own row, which `accumulate` adds to and `summed` reads. */
export const clearSum = (shape: AttentionShape, output: string): string =>
  eachOwn(
    shape,
    `${eachPart(shape, (i) => `  var ${output}#${i} = vec4f();`)}
${shape.share ? `  var odd_${output}#: array<vec4f, ${shape.parts}>;` : ""}`,
  );

/** WGSL: part `i` of the sum of an own row. */
export const summed = (shape: AttentionShape, output: string, i: number): string =>
  shape.share ? `(${output}#${i} + odd_${output}#[${i}])` : `${output}#${i}`;

/**
 * `output += Σ_r w[r] · values[r]` over the rows that are ok. What is not ok may be NaN, which a product with zero would let
 * through: with `share` the elements that are not finite go a slow way of their own, else a select keeps out each row.
 */
export function accumulate(shape: AttentionShape, output: string, values: string): string {
  const addRow = (term: string, value: string): string => `    { let x = ${value}; ${eachOwn(shape, term)} }`;
  if (!shape.share) {
    const term = (i: number, r: number): string => `${output}#${i} += select(vec4f(), w#${r} * x, ok#${r});`;
    return eachPart(shape, (i) => eachRow(shape, (r) => addRow(term(i, r), part(shape, values, i, r))));
  }
  const addOdd = (i: string): string => /* wgsl */ `{
      let all = other_${values}[${i} / 4u];
      let odd = select(vec4f(), all, isOdd4(all));
${eachRow(shape, (r) => addRow(`odd_${output}#[${i} / 4u] += select(vec4f(), w#${r} * x, ok#${r});`, fromLane(shape, "odd", r)))}
    }`;
  return /* wgsl */ `${eachPart(shape, (i) => eachRow(shape, (r) => addRow(`${output}#${i} += w#${r} * x;`, fromLane(shape, `finite${i}`, r))))}
    if (subgroupAny(flags_ > 1u)) {
${alongHead(shape, addOdd)}
    }`;
}

/** Stores `value(i)`, part i of each own row, at `own#`, where the row exists. */
export function storeRows(shape: AttentionShape, output: string, value: (part: number) => string): string {
  const parts = Array.from({ length: shape.parts }, (_, i) => value(i)).join(",\n    ");
  const ragged = (i: string): string =>
    [0, 1, 2, 3].map((k) => `if (${i} + ${k}u < p.d) { ${output}[own# + ${i} + ${k}u] = all#[${i} / 4u][${k}]; }`).join(" ");
  const aligned = (i: string): string => `${output}[(own# + ${i}) / 4u] = all#[${i} / 4u];`;
  const store = `
  var all# = array<vec4f, ${shape.parts}>(${parts});
  if (exists#) {
${alongHead(shape, shape.aligned ? aligned : ragged)}
  }`;
  return eachOwn(shape, store);
}

/** For a lane that owns queries: `own#` and `stat#` (their offsets), `keys#` (how many they may see) and `most` (any lane's). */
export const ownQueries = (shape: AttentionShape): string => /* wgsl */ `
  let head = group % heads;
  let first = group / heads % p.blocks * ${shape.lanes * shape.own}u;
  let batch = group / heads / p.blocks;
  let most = u32(clamp(i32(min(first + ${shape.lanes * shape.own}u, p.t) + p.s) - i32(p.t), 0, i32(p.s)));
  var next = first + lane;
${eachOwn(
  shape,
  `  let exists# = next < p.t;
  let row# = min(next, p.t - 1u);
  let stat# = (batch * p.t + row#) * heads + head;
  let own# = stat# * p.d;
  let keys# = u32(clamp(i32(row# + 1u + p.s) - i32(p.t), 0, i32(p.s)));
  next += ${shape.lanes}u;`,
)}`;

/** The keys and values that an own query walks. */
export const keyRows = (rows: readonly string[], summed: string | null): OtherRows => ({
  rows,
  summed,
  open: "mask[batch * p.s + $j] != 0",
  at: "((batch * p.s + $j) * p.g + head / p.m) * p.d",
  count: "p.s",
});
