import {
  ALONG_D,
  type AttentionBuffer,
  accumulateTile,
  attentionHeader,
  attentionMain,
  clearRows,
  eachRow,
  OPEN_KEYS,
  OWN_QUERIES,
  productTiles,
  storeRows,
  updateRows,
} from "./attention-kernel-wgsl.ts";

const Q_K: readonly AttentionBuffer[] = [
  { name: "q", holds: "rows" },
  { name: "k", holds: "rows" },
];
const MASK: AttentionBuffer = { name: "mask", holds: "mask" };

/**
 * y = softmax(scale · q kᵀ) v by online softmax: an invocation owns four query rows and walks the keys four
 * at a time. The sums live in the output until they are divided, so that no size of d needs registers.
 * for j0 in keys: s = q·k; top = max(top, s); y = y · e^(old top - top) + e^(s - top) v;
 * then y / Σ e^(s - top)
 */
export function forwardKernel(aligned: boolean): string {
  const [v, y] = ["v", "y"].map((name): AttentionBuffer => ({ name, holds: "rows" }));
  const body = /* wgsl */ `${OWN_QUERIES}
${clearRows()}
${onlineSoftmax(accumulateTile("y", "v", "fade"))}
${eachRow((r) => `  let share${r} = select(select(1.0 / sum${r}, 0.0, sum${r} == 0.0), p.nan, bad${r});`)}
${ALONG_D}
${updateRows((r) => `load_y(at, p.d - i) * share${r}`)}
    }`;
  return [attentionHeader([...Q_K, v, MASK, y], aligned), storeRows("y", aligned), attentionMain(body)].join("\n");
}

/** lse = log Σ_j e^(scale · q k_j) over the keys that a row attends to; 0 where there is none. */
export function lseKernel(aligned: boolean): string {
  const buffers: readonly AttentionBuffer[] = [...Q_K, MASK, { name: "lse", holds: "scalars" }];
  const value = (r: number): string => `select(select(top${r} + log(sum${r}), 0.0, sum${r} == 0.0), p.nan, bad${r})`;
  const body = /* wgsl */ `${OWN_QUERIES}
${onlineSoftmax("")}
  let at = (batch * p.t + t0) * heads + head;
${eachRow((r) => `  if (${r}u < rows) { lse[at + ${r}u * heads] = ${value(r)}; }`)}`;
  return [attentionHeader(buffers, aligned), attentionMain(body)].join("\n");
}

// A score that is not finite makes its row NaN (bad): max and exp could hide it.
function onlineSoftmax(use: string): string {
  return /* wgsl */ `
${eachRow((r) => `  var top${r} = lowest; var sum${r} = 0.0; var bad${r} = false;`)}
  for (var j0 = 0u; j0 < keys3; j0 += 4u) {
${OPEN_KEYS}
${productTiles([{ sum: "s", own: "q", other: "k" }])}
${eachRow(
  (r) => `
    s${r} *= p.scale;
    bad${r} |= any(ok${r} & odd(s${r}));
    s${r} = select(vec4f(lowest), s${r}, ok${r});
    let next${r} = max(top${r}, max(max(s${r}.x, s${r}.y), max(s${r}.z, s${r}.w)));
    let fade${r} = exp(top${r} - next${r});
    let w${r} = select(vec4f(), exp(s${r} - next${r}), ok${r});
    sum${r} = sum${r} * fade${r} + dot(w${r}, vec4f(1.0));
    top${r} = next${r};`,
)}
${use}
  }`;
}
