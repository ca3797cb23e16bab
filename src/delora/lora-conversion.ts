import { lastRows, type Matrix, rowsOf, stacked, transposed, zeros } from "../linalg/matrix.ts";
import { productSvd } from "../linalg/product-svd.ts";
import { qr } from "../linalg/qr.ts";
import type { Svd } from "../linalg/svd.ts";
import { firstTerms, termsOfShare, topSvd, topSvdOfShare } from "../linalg/top-svd.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type AdapterLayer, LowRankLayer } from "./adapter-layer.ts";
import { AdapterConfigError } from "./errors.ts";
import { pythonFloat } from "./python-json.ts";
import { changeMatrix, factorMatrices } from "./update-matrices.ts";

/**
 * How much of an update LoRA matrices hold: its `rank` largest singular terms, or the fewest whose squared singular
 * values are the share `energy`, in (0, 1], of all (PEFT's int and float `rank`).
 */
export type LoraSize = { readonly rank: number } | { readonly energy: number };

/** An update as LoRA matrices with a scaling of 1: ΔW ≈ b·a. */
export interface LoraFactors {
  /** [rank, in] */
  readonly a: Matrix;
  /** [out, rank] */
  readonly b: Matrix;
}

/**
 * What an adapter does to a weight, as LoRA matrices.
 *
 * @param weight the base's weight [out, in], for a method whose change depends on it
 * @param size null: nothing is left out and nothing decomposed, the factors A·diag(w) and B·diag(s) are the matrices
 * @throws AdapterConfigError for a size that the update does not have; for null where it is no product of two matrices
 */
export async function layerToLora(layer: AdapterLayer, weight: Tensor | null, size: LoraSize | null): Promise<LoraFactors> {
  if (layer instanceof LowRankLayer) {
    const { up, down } = await factorMatrices(layer);
    return size ? productToLora(up, down, size) : { a: down, b: up };
  }
  const change = size && (await changeMatrix(layer, weight));
  if (change) return denseToLora(change, size);
  const why = size
    ? "what the adapter does depends on its base: convert it beside the base model"
    : "what the adapter does is no product of two matrices: choose the rank, or the share of the squared singular values";
  throw new AdapterConfigError("rank", size, why);
}

/** @throws AdapterConfigError, where possible with PEFT's text, for a size that no update has */
export function checkLoraSize(size: LoraSize): void {
  if ("energy" in size) {
    const { energy } = size;
    if (energy > 0 && energy <= 1) return;
    const range = "It must be between 0 and 1";
    const why = `If rank is a float, it is interpreted as a threshold. ${range} but got ${pythonFloat(energy)}.`;
    throw new AdapterConfigError("rank", energy, why);
  }
  const { rank } = size;
  if (rank === 0) throw new AdapterConfigError("rank", rank, "Passing a rank of 0 doesn't make sense, please pass a valid value.");
  if (!Number.isInteger(rank) || rank < 0) throw new AdapterConfigError("rank", rank, `rank must be a whole number from 1, got ${rank}`);
}

/**
 * The best approximation of up[out, r]·down[r, in] by LoRA matrices of a size, b = U_k·S_k and a = V_kᵀ: ‖ΔW - b·a‖² is the
 * sum of the squared singular values that are left out, so that k = r loses nothing. As PEFT's `convert_to_lora`, which
 * decomposes the dense update.
 *
 * @throws AdapterConfigError for a size that no update has, or a rank above min(out, in)
 */
export function productToLora(up: Matrix, down: Matrix, size: LoraSize): LoraFactors {
  checkFits(size, up.rows, down.columns);
  const terms = productSvd(up, down);
  if ("energy" in size) return loraOf(firstTerms(terms, termsOfShare(terms.values, size.energy) ?? terms.values.length));
  const found = terms.values.length;
  return loraOf(size.rank <= found ? firstTerms(terms, size.rank) : widened(terms, size.rank));
}

/** As `productToLora`, of a dense update [out, in]. */
export function denseToLora(update: Matrix, size: LoraSize): LoraFactors {
  checkFits(size, update.rows, update.columns);
  return loraOf("energy" in size ? topSvdOfShare(update, size.energy) : topSvd(update, size.rank));
}

function checkFits(size: LoraSize, out: number, inputs: number): void {
  checkLoraSize(size);
  const most = Math.min(out, inputs);
  if ("energy" in size || size.rank <= most) return;
  const why = `The chosen rank ${size.rank} is larger than the weight shape (${most}), please choose a lower rank.`;
  throw new AdapterConfigError("rank", size.rank, why);
}

/** b takes the singular values. */
function loraOf({ left, values, right }: Svd): LoraFactors {
  const scaled = { ...left, data: left.data.slice() };
  for (const [i, row] of rowsOf(scaled).entries()) row.forEach((value, j) => { row[j] = value * values[i]; });
  return { a: right, b: transposed(scaled) };
}

/** With terms of value 0 up to `rank`: a basis that goes on in a, zeros in b. */
function widened({ left, values, right }: Svd, rank: number): Svd {
  const more = rank - values.length;
  return {
    left: stacked(left, zeros(more, left.columns)),
    values: Float64Array.from({ length: rank }, (_, i) => values[i] ?? 0),
    right: stacked(right, lastRows(qr(right).columnsOfQ(rank), more)),
  };
}
