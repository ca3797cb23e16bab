import { nanHelpers } from "./nan-wgsl.ts";

/** WGSL of the readable attention kernels; they all have q and k. `weight_of` is an exp that a NaN gets through. */
export const ATTENTION_HELPERS = /* wgsl */ `
${nanHelpers}
fn weight_of(x: f32) -> f32 { if (is_odd(x)) { return x; } return exp(x); }
fn scale_of() -> f32 { return select(dims.scale, inverseSqrt(f32(dims.d)), dims.scale == 0.0); }
fn score(row: u32, key: u32) -> f32 {
  var total = 0.0;
  for (var e = 0u; e < dims.d; e++) { total += q[row * dims.d + e] * k[key * dims.d + e]; }
  return total * scale_of();
}`;

/** Further, for kernels with v and dy: `pulled(row, key) = dy · v`. */
export const PULLED = /* wgsl */ `
fn pulled(row: u32, key: u32) -> f32 {
  var total = 0.0;
  for (var e = 0u; e < dims.d; e++) { total += dy[row * dims.d + e] * v[key * dims.d + e]; }
  return total;
}`;

/** For a query row [b, t, g·m]: its sequence, the head and the number of its keys, and its last key. */
export const QUERY_ROW = /* wgsl */ `
    let heads = dims.g * dims.m;
    let s = dims.c + dims.t;
    let batch = row / heads / dims.t;
    let group = row % heads / dims.m;
    let last = dims.c + row / heads % dims.t;`;

/**
 * For a key row [b, s, g] of `key = i / d`: walks the query rows that may attend to it; `body` sees `row` and
 * ends in an addition to `total`.
 */
export const overQueries = (body: string): string => /* wgsl */ `
    let key = i / dims.d; let e = i % dims.d;
    let s = dims.c + dims.t;
    let j = key / dims.g % s; let batch = key / dims.g / s;
    var total = 0.0;
    if (mask[batch * s + j] != 0) {
      for (var t = max(j, dims.c) - dims.c; t < dims.t; t++) {
        for (var member = 0u; member < dims.m; member++) {
          let row = ((batch * dims.t + t) * dims.g + key % dims.g) * dims.m + member;
          let w = weight_of(score(row, key) - lse[row]);
          ${body}
        }
      }
    }`;
