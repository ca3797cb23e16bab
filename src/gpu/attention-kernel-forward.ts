import {
  type AttentionBuffer,
  type AttentionShape,
  accumulate,
  attentionHeader,
  attentionMain,
  clearSum,
  eachOwn,
  eachPart,
  eachRow,
  keyRows,
  loadRow,
  openRows,
  ownQueries,
  products,
  storeRows,
  summed,
  walkTiles,
} from "./attention-kernel-wgsl.ts";

const Q_K: readonly AttentionBuffer[] = [
  { name: "q", holds: "rows" },
  { name: "k", holds: "rows" },
];
const MASK: AttentionBuffer = { name: "mask", holds: "mask" };

/**
 * y = softmax(scale · q kᵀ) v by online softmax, a lane for each query:
 * for j0 in keys: s = q·k; top = max(top, s); y = y · e^(old top - top) + e^(s - top) v;
 * then y / Σ e^(s - top)
 */
export function forwardKernel(shape: AttentionShape): string {
  const [v, y] = ["v", "y"].map((name): AttentionBuffer => ({ name, holds: "rows" }));
  const fade = eachOwn(shape, eachPart(shape, (i) => `    y#${i} *= fade#;`));
  const body = /* wgsl */ `${ownQueries(shape)}
${clearSum(shape, "y")}
${onlineSoftmax(shape, ["k", "v"], `${fade}\n${accumulate(shape, "y", "v")}`)}
${eachOwn(shape, "  let share# = select(select(1.0 / sum#, 0.0, sum# == 0.0), p.nan, bad#);")}
${storeRows(shape, "y", (i) => `${summed(shape, "y", i)} * share#`)}`;
  return [attentionHeader([...Q_K, v, MASK, y], shape), attentionMain(shape, body)].join("\n");
}

/** lse = log Σ_j e^(scale · q k_j) over the keys that a row attends to; 0 where there is none. */
export function lseKernel(shape: AttentionShape): string {
  const buffers: readonly AttentionBuffer[] = [...Q_K, MASK, { name: "lse", holds: "scalars" }];
  const body = /* wgsl */ `${ownQueries(shape)}
${onlineSoftmax(shape, ["k"], "")}
${eachOwn(shape, "  if (exists#) { lse[stat#] = select(select(top# + log(sum#), 0.0, sum# == 0.0), p.nan, bad#); }")}`;
  return [attentionHeader(buffers, shape), attentionMain(shape, body)].join("\n");
}

// A score that is not finite makes its row NaN (bad): max and exp could hide it.
function onlineSoftmax(shape: AttentionShape, rows: readonly string[], use: string): string {
  const overTile = (join: (a: string, b: string) => string, name: string): string =>
    Array.from({ length: shape.tile }, (_, r) => `${name}#${r}`).reduce(join);
  const weigh = /* wgsl */ `
${eachRow(
  shape,
  (r) => `    s#${r} *= p.scale;
    bad# = bad# || (ok#${r} && isOdd(s#${r}));
    s#${r} = select(lowest, s#${r}, ok#${r});`,
)}
    let next# = max(top#, ${overTile((a, b) => `max(${a}, ${b})`, "s")});
    let fade# = exp(top# - next#);
${eachRow(shape, (r) => `    let w#${r} = select(0.0, exp(s#${r} - next#), ok#${r});`)}
    sum# = sum# * fade# + (${overTile((a, b) => `${a} + ${b}`, "w")});
    top# = next#;`;
  const body = /* wgsl */ `
${openRows(shape, (r) => `j0 + ${r}u < keys#`)}
${products(shape, "s", "q", "k")}
${eachOwn(shape, weigh)}
${use}`;
  return `${eachOwn(shape, loadRow(shape, "q", "own#", "own_q#"))}
${eachOwn(shape, "  var top# = lowest; var sum# = 0.0; var bad# = false;")}
${walkTiles(shape, keyRows(rows, rows.includes("v") ? "v" : null), ["0u", "most"], body)}`;
}
