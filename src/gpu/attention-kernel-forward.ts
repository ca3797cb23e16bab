import {
  type AttentionBuffer,
  type AttentionShape,
  accumulate,
  attentionHeader,
  attentionMain,
  clearSum,
  eachPart,
  eachRow,
  keyRows,
  loadRow,
  openRows,
  ownQuery,
  products,
  storeRow,
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
  const fade = eachPart(shape, (i) => `    y${i} *= fade;`);
  const body = /* wgsl */ `${ownQuery(shape)}
${clearSum(shape, "y")}
${onlineSoftmax(shape, ["k", "v"], `${fade}\n${accumulate(shape, "y", "v")}`)}
  let share = select(select(1.0 / sum, 0.0, sum == 0.0), p.nan, bad);
${storeRow(shape, "y", (i) => `${summed(shape, "y", i)} * share`)}`;
  return [attentionHeader([...Q_K, v, MASK, y], shape), attentionMain(shape, body)].join("\n");
}

/** lse = log Σ_j e^(scale · q k_j) over the keys that a row attends to; 0 where there is none. */
export function lseKernel(shape: AttentionShape): string {
  const buffers: readonly AttentionBuffer[] = [...Q_K, MASK, { name: "lse", holds: "scalars" }];
  const body = /* wgsl */ `${ownQuery(shape)}
${onlineSoftmax(shape, ["k"], "")}
  if (exists) { lse[stat] = select(select(top + log(sum), 0.0, sum == 0.0), p.nan, bad); }`;
  return [attentionHeader(buffers, shape), attentionMain(shape, body)].join("\n");
}

// A score that is not finite makes its row NaN (bad): max and exp could hide it.
function onlineSoftmax(shape: AttentionShape, rows: readonly string[], use: string): string {
  const values = rows.includes("v") ? "v" : null;
  const highest = Array.from({ length: shape.tile }, (_, r) => `s${r}`).reduce((a, b) => `max(${a}, ${b})`);
  const body = /* wgsl */ `
${openRows(shape, (r) => `j0 + ${r}u < keys`)}
${products(shape, "s", "q", "k")}
${eachRow(
  shape,
  (r) => `    s${r} *= p.scale;
    bad = bad || (ok${r} && isOdd(s${r}));
    s${r} = select(lowest, s${r}, ok${r});`,
)}
    let next = max(top, ${highest});
    let fade = exp(top - next);
${eachRow(shape, (r) => `    let w${r} = select(0.0, exp(s${r} - next), ok${r});`)}
    sum = sum * fade + (${Array.from({ length: shape.tile }, (_, r) => `w${r}`).join(" + ")});
    top = next;
${use}`;
  return `${loadRow(shape, "q", "own", "own_q")}
  var top = lowest; var sum = 0.0; var bad = false;
${walkTiles(shape, keyRows(rows, values), ["0u", "most"], body)}`;
}
