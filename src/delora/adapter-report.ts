import type { Module } from "../nn/module.ts";
import { noGrad, norm, tidy } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AdapterLayer } from "./adapter-layer.ts";
import { adaptedLinears } from "./inject.ts";

/** What an adapter does to one module. */
export interface AdapterReportRow {
  /** Path of the module: `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  /** The strength λ; null for a method without one. */
  readonly lambda: number | null;
  /** ‖ΔW‖_F */
  readonly deltaNorm: number;
  /** |λ|·max_j w_j, which ‖ΔW‖_F never exceeds; null for a method without a bound. */
  readonly bound: number | null;
  /** ‖ΔW‖_F as a share of its bound, 0 to 1; null without a bound. */
  readonly share: number | null;
}

/** Size of an adapter's update in every module that has it, in the model's order. */
export async function reportAdapter(model: Module, adapterName: string): Promise<AdapterReportRow[]> {
  const rows = adaptedLinears(model).flatMap(([name, { adapters }]) => {
    const layer = adapters.get(adapterName);
    return layer ? [{ name, measured: noGrad(() => tidy(() => measure(layer))) }] : [];
  });
  return Promise.all(rows.map(async ({ name, measured }) => ({ name, ...(await read(measured)) })));
}

/** Scalars of one layer, still on the device. */
interface Measured {
  readonly deltaNorm: Tensor;
  readonly lambda: Tensor | null;
  readonly bound: Tensor | null;
}

function measure(layer: AdapterLayer): Measured {
  const strength = layer.strength();
  return {
    deltaNorm: norm(layer.deltaWeight()),
    lambda: strength?.lambda.detach() ?? null,
    bound: strength?.bound ?? null,
  };
}

async function read({ deltaNorm, lambda, bound }: Measured): Promise<Omit<AdapterReportRow, "name">> {
  const value = async (scalar: Tensor | null): Promise<number | null> => {
    const result = scalar && (await scalar.item());
    scalar?.dispose();
    return result;
  };
  const [delta, strength, limit] = await Promise.all([value(deltaNorm), value(lambda), value(bound)]);
  const used = delta ?? 0;
  return {
    lambda: strength,
    deltaNorm: used,
    bound: limit,
    share: limit === null ? null : limit > 0 ? used / limit : 0,
  };
}
