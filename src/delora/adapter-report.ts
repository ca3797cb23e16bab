import { productSvd } from "../linalg/product-svd.ts";
import { topSvd } from "../linalg/top-svd.ts";
import type { Module } from "../nn/module.ts";
import { cast, mul, noGrad, norm, sum, tidy } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type AdapterLayer, LowRankLayer } from "./adapter-layer.ts";
import { adaptedLinears } from "./inject.ts";
import { changeMatrix, changeOf, factorMatrices } from "./update-matrices.ts";

/** The least, the mean and the most of some numbers. */
export interface Spread {
  readonly min: number;
  readonly mean: number;
  readonly max: number;
}

/** What an adapter does to one module. */
export interface AdapterReportRow {
  /** Path of the module: `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  /** Rank of the update. */
  readonly r: number;
  /** The strength λ; null for a method without one. */
  readonly lambda: number | null;
  /** ‖ΔW‖_F; null where it depends on a base weight that is not here. */
  readonly deltaNorm: number | null;
  /** The most that ‖ΔW‖_F can be: |λ|·max_j w_j in PEFT's DeLoRA; null for a method without a bound. */
  readonly bound: number | null;
  /** ‖ΔW‖_F as a share of its bound, 0 to 1; null without a bound. */
  readonly share: number | null;
  /** Lengths of the directions a_i; null for a method without. */
  readonly aNorms: Spread | null;
  /** Lengths of the directions b_i; null for a method without. */
  readonly bNorms: Spread | null;
  /** The largest singular values of ΔW, falling: as many as were asked for; null where ΔW is not known. */
  readonly singularValues: readonly number[] | null;
  /** ‖W‖_F of the base; null where it is not here. */
  readonly weightNorm: number | null;
  /**
   * Angle between ΔW and W in degrees, by the inner product ⟨ΔW, W⟩ = Σ ΔW_ij·W_ij: 90 is at right angles, below it grows
   * W, above it shrinks it. Null without a base or an update.
   */
  readonly angle: number | null;
}

/** What an adapter does to every module that has it, in the model's order; with as many singular values as asked for. */
export async function reportAdapter(
  model: Module,
  adapterName: string,
  singularValues = 0,
): Promise<AdapterReportRow[]> {
  const rows: AdapterReportRow[] = [];
  for (const [name, adapted] of adaptedLinears(model)) {
    const layer = adapted.adapters.get(adapterName);
    if (layer) rows.push({ name, ...(await reportLayer(layer, adapted.unmergedWeight, singularValues)) });
  }
  return rows;
}

/**
 * What an adapter does to one module.
 *
 * @param weight the base's weight [out, in]; null where it is not here
 * @param singularValues how many of them
 */
export async function reportLayer(
  layer: AdapterLayer,
  weight: Tensor | null,
  singularValues = 0,
): Promise<Omit<AdapterReportRow, "name">> {
  const measured = noGrad(() => tidy(() => measure(layer, weight)));
  const numbers = new Map<string, Float64Array>();
  for (const [key, tensor] of Object.entries(measured)) {
    numbers.set(key, Float64Array.from(await tensor.data()));
    tensor.dispose();
  }
  const number = (key: keyof Measured): number | null => numbers.get(key)?.[0] ?? null;
  const [deltaNorm, bound, weightNorm, inner] = [number("delta"), number("bound"), number("weight"), number("inner")];
  const lengths = (deltaNorm ?? 0) * (weightNorm ?? 0);
  return {
    r: layer.r,
    lambda: number("lambda"),
    deltaNorm,
    bound,
    share: bound === null || deltaNorm === null ? null : bound > 0 ? deltaNorm / bound : 0,
    aNorms: spreadOf(numbers.get("a")),
    bNorms: spreadOf(numbers.get("b")),
    singularValues: await largestValues(layer, weight, singularValues),
    weightNorm,
    angle: inner === null || lengths === 0 ? null : degrees(inner / lengths),
  };
}

/** Numbers of one layer, still on the device; what cannot be told is absent. */
interface Measured {
  readonly delta?: Tensor;
  readonly lambda?: Tensor;
  readonly bound?: Tensor;
  readonly a?: Tensor;
  readonly b?: Tensor;
  readonly weight?: Tensor;
  readonly inner?: Tensor;
}

function measure(layer: AdapterLayer, weight: Tensor | null): Measured {
  const strength = layer.strength();
  const directions = layer.directions();
  const change = changeOf(layer, weight);
  const own = {
    ...(change && { delta: norm(change) }),
    ...(strength && { lambda: strength.lambda.detach(), bound: strength.bound }),
    ...(directions && { a: norm(directions.a, { axes: 1 }), b: norm(directions.b, { axes: 0 }) }),
  };
  if (!weight) return own;
  const base = cast(weight, { dtype: layer.parameters()[0].dtype });
  return { ...own, weight: norm(base), ...(change && { inner: sum(mul(change, base)) }) };
}

async function largestValues(layer: AdapterLayer, weight: Tensor | null, count: number): Promise<number[] | null> {
  if (count === 0) return [];
  if (layer instanceof LowRankLayer) {
    const { up, down } = await factorMatrices(layer);
    return [...productSvd(up, down).values.subarray(0, count)];
  }
  const change = await changeMatrix(layer, weight);
  return change && [...topSvd(change, count).values];
}

function spreadOf(values: Float64Array | undefined): Spread | null {
  if (!values?.length) return null;
  const mean = values.reduce((total, value) => total + value, 0) / values.length;
  return { min: Math.min(...values), mean, max: Math.max(...values) };
}

const degrees = (cosine: number): number => (Math.acos(Math.max(-1, Math.min(1, cosine))) * 180) / Math.PI;
