import {
  type AttentionBuffer,
  type AttentionShape,
  accumulate,
  alongHead,
  attentionHeader,
  attentionMain,
  clearSum,
  eachOwn,
  eachRow,
  keyRows,
  loadRow,
  type OtherRows,
  openRows,
  ownQueries,
  products,
  scalar,
  storeRows,
  summed,
  walkTiles,
} from "./attention-kernel-wgsl.ts";

const rows = (name: string): AttentionBuffer => ({ name, holds: "rows" });
const scalars = (name: string): AttentionBuffer => ({ name, holds: "scalars" });

const INPUTS: readonly AttentionBuffer[] = [
  rows("q"),
  rows("k"),
  rows("v"),
  { name: "mask", holds: "mask" },
  scalars("lse"),
  scalars("delta"),
  rows("dy"),
];

/** delta = Σ_d dy · y, a lane for each row. */
export function deltaKernel(shape: AttentionShape): string {
  const ownDelta = /* wgsl */ `
  if (exists#) {
    var sum = 0.0;
${alongHead(shape, (i) => `sum += dot(load_dy(own# + ${i}, p.d - ${i}), load_y(own# + ${i}, p.d - ${i}));`)}
    delta[stat#] = sum;
  }`;
  const body = /* wgsl */ `${ownQueries(shape)}
${eachOwn(shape, ownDelta)}`;
  return [attentionHeader([rows("dy"), rows("y"), scalars("delta")], shape), attentionMain(shape, body)].join("\n");
}

/** dq = scale · Σ_j P (dy·v_j - delta) k_j with P = e^(scale · q·k_j - lse), a lane for each query. */
export function dqKernel(shape: AttentionShape): string {
  const weight = (r: number): string => `exp(s#${r} * p.scale - lse#) * (e#${r} - delta#) * p.scale`;
  const tile = /* wgsl */ `
${openRows(shape, (r) => `j0 + ${r}u < keys#`)}
${products(shape, "s", "q", "k")}
${products(shape, "e", "dy", "v")}
${weights(shape, weight)}
${accumulate(shape, "dq", "k")}`;
  const body = /* wgsl */ `${ownQueries(shape)}
${eachOwn(
  shape,
  `  let lse# = lse[stat#]; let delta# = delta[stat#];
  var bad# = false;
${loadRow(shape, "q", "own#", "own_q#")}
${loadRow(shape, "dy", "own#", "own_dy#")}`,
)}
${clearSum(shape, "dq")}
${walkTiles(shape, keyRows(["k", "v"], "k"), ["0u", "most"], tile)}`;
  return assemble("dq", shape, body);
}

/** dk = scale · Σ P (v·dy_t - delta_t) q_t over the query rows t of all heads that share the key, a lane for each key. */
export function dkKernel(shape: AttentionShape): string {
  const weight = (r: number): string =>
    `exp(s#${r} * p.scale - ${scalar(shape, "lse", r)}) * (e#${r} - ${scalar(shape, "delta", r)}) * p.scale`;
  const other = queryRows(["q", "dy"], "q", ["lse", "delta"]);
  return assemble("dk", shape, walkQueries(shape, "dk", other, weight, true));
}

/** dv = Σ P dy_t over the query rows t of all heads that share the value, a lane for each value. */
export function dvKernel(shape: AttentionShape): string {
  const weight = (r: number): string => `exp(s#${r} * p.scale - ${scalar(shape, "lse", r)})`;
  return assemble("dv", shape, walkQueries(shape, "dv", queryRows(["q", "dy"], "dy", ["lse"]), weight, false));
}

const assemble = (output: string, shape: AttentionShape, body: string): string =>
  [
    attentionHeader([...INPUTS, rows(output)], shape),
    attentionMain(shape, `${body}\n${storeRows(shape, output, (i) => `select(${summed(shape, output, i)}, vec4f(p.nan), bad#)`)}`),
  ].join("\n");

// exp and max could hide a weight that is not finite.
const weights = (shape: AttentionShape, weight: (row: number) => string): string =>
  eachRow(shape, (r) =>
    eachOwn(
      shape,
      `    let full#${r} = ${weight(r)};
    bad# = bad# || (ok#${r} && (isOdd(full#${r}) || isOdd(s#${r})));
    let w#${r} = select(0.0, full#${r}, ok#${r});`,
    ),
  );

const queryRows = (names: readonly string[], summed: string, floats: readonly string[]): OtherRows => ({
  rows: names,
  summed,
  scalars: floats,
  open: "true",
  at: "$stat * p.d",
  stat: "(batch * p.t + $j) * heads + kvHead * p.m + member",
  count: "p.t",
});

// A lane owns keys and walks the query rows of its group's heads, from the first that may see a key of the block.
function walkQueries(
  shape: AttentionShape,
  output: string,
  other: OtherRows,
  weight: (row: number) => string,
  withValues: boolean,
): string {
  const tile = /* wgsl */ `
${openRows(shape, (r) => `open# && row# + p.t <= j0 + ${r}u + p.s`)}
${products(shape, "s", "k", "q")}
${withValues ? products(shape, "e", "v", "dy") : ""}
${weights(shape, weight)}
${accumulate(shape, output, other.summed ?? "")}`;
  return /* wgsl */ `
  let kvHead = group % p.g;
  let block = group / p.g % p.blocks * ${shape.lanes * shape.own}u;
  let batch = group / p.g / p.blocks;
  let first = u32(max(i32(block + p.t) - i32(p.s), 0));
  var next = block + lane;
${eachOwn(
  shape,
  `  let exists# = next < p.s;
  let row# = min(next, p.s - 1u);
  let own# = ((batch * p.s + row#) * p.g + kvHead) * p.d;
  let open# = mask[batch * p.s + row#] != 0;
  var bad# = false;
  next += ${shape.lanes}u;
${loadRow(shape, "k", "own#", "own_k#")}
${withValues ? loadRow(shape, "v", "own#", "own_v#") : ""}`,
)}
${clearSum(shape, output)}
  for (var member = 0u; member < p.m; member++) {
${walkTiles(shape, other, ["first", "p.t"], tile)}
  }`;
}
