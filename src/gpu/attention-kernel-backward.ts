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
  type Products,
  productTiles,
  storeRows,
  TILE,
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

/** delta = Σ_d dy · y, one invocation a row. */
export function deltaKernel(aligned: boolean): string {
  const body = /* wgsl */ `
  let own = index * p.d;
  var sum = 0.0;
${ALONG_D}
      sum += dot(load_dy(own + i, p.d - i), load_y(own + i, p.d - i));
    }
  delta[index] = sum;`;
  return [attentionHeader([rows("dy"), rows("y"), scalars("delta")], aligned), attentionMain(body)].join("\n");
}

/**
 * dq = scale · Σ_j P (dy·v_j - delta) k_j with P = e^(scale · q·k_j - lse): an invocation owns four query
 * rows and walks the keys four at a time.
 */
export function dqKernel(aligned: boolean): string {
  const tiles: readonly Products[] = [
    { sum: "s", own: "q", other: "k" },
    { sum: "e", own: "dy", other: "v" },
  ];
  const body = /* wgsl */ `${OWN_QUERIES}
  let stat = (batch * p.t + t0) * heads + head;
${eachRow((r) => `  let lse${r} = lse[stat + ${r}u * heads]; let delta${r} = delta[stat + ${r}u * heads];`)}
${clearRows()}
  for (var j0 = 0u; j0 < keys3; j0 += 4u) {
${OPEN_KEYS}
${productTiles(tiles)}
${eachRow((r) => `    let w${r} = expo(s${r} * p.scale - lse${r}) * (e${r} - delta${r}) * p.scale;`)}
${accumulateTile("dq", "k", null)}
  }`;
  return assemble("dq", aligned, body);
}

/** dk = scale · Σ P (v·dy_t - delta_t) q_t over the query rows t of all heads that share the key. */
export function dkKernel(aligned: boolean): string {
  const tiles: readonly Products[] = [
    { sum: "s", own: "k", other: "q" },
    { sum: "e", own: "v", other: "dy" },
  ];
  const weight = (r: number): string => `expo(s${r} * p.scale - lses) * (e${r} - deltas) * p.scale`;
  return assemble("dk", aligned, walkQueries("dk", tiles, weight, "q"));
}

/** dv = Σ P dy_t over the query rows t of all heads that share the value. */
export function dvKernel(aligned: boolean): string {
  const tiles: readonly Products[] = [{ sum: "s", own: "k", other: "q" }];
  return assemble("dv", aligned, walkQueries("dv", tiles, (r) => `expo(s${r} * p.scale - lses)`, "dy"));
}

const assemble = (output: string, aligned: boolean, body: string): string =>
  [attentionHeader([...INPUTS, rows(output)], aligned), storeRows(output, aligned), attentionMain(body)].join("\n");

// An invocation owns four keys and walks the query rows of its group's heads, from the first that may see one
// of them.
function walkQueries(
  output: string,
  tiles: readonly Products[],
  weight: (row: number) => string,
  values: string,
): string {
  const ok = (r: number): string =>
    `vec4<bool>(open${r}) & (t < vec4u(p.t)) & (vec4u(j0 + ${r}u + p.t) <= t + vec4u(p.s))`;
  return /* wgsl */ `
  let kvHead = index % p.g;
  let j0 = index / p.g % p.blocks * ${TILE}u;
  let batch = index / p.g / p.blocks;
  let rows = min(${TILE}u, p.s - j0);
  let ownStride = p.g * p.d;
  let own = ((batch * p.s + j0) * p.g + kvHead) * p.d;
  let otherStride = heads * p.d;
  let first = u32(max(i32(j0 + p.t) - i32(p.s), 0));
${eachRow((r) => `  let open${r} = ${r}u < rows && mask[batch * p.s + j0 + ${r}u] != 0;`)}
${clearRows()}
  for (var member = 0u; member < p.m; member++) { for (var t0 = first; t0 < p.t; t0 += ${TILE}u) {
    let stat = (batch * p.t + t0) * heads + kvHead * p.m + member;
    let other = stat * p.d;
    let lses = vec4f(lse[stat], lse[stat + heads], lse[stat + 2u * heads], lse[stat + 3u * heads]);
    let deltas = vec4f(delta[stat], delta[stat + heads], delta[stat + 2u * heads], delta[stat + 3u * heads]);
    let t = vec4u(t0) + vec4u(0u, 1u, 2u, 3u);
${eachRow((r) => `    let ok${r} = ${ok(r)};`)}
${productTiles(tiles)}
${eachRow((r) => `    let w${r} = ${weight(r)};`)}
${accumulateTile(output, values, null)}
  } }`;
}
