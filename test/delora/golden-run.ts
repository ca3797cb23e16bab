import { readFile } from "node:fs/promises";
import { DeloraConfig, getPeftModel, PeftModel } from "../../src/delora/index.ts";
import { decodeFloat32, decodeInt32, readSafetensors, type SafetensorsTensor } from "../../src/io/index.ts";
import { LlamaForCausalLM } from "../../src/nn/llama-for-causal-lm.ts";
import { noGrad, tensor } from "../../src/ops/index.ts";
import type { Device } from "../../src/tensor/storage.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { AdamW } from "../../src/train/adamw.ts";
import { sharedPath } from "../shared.ts";

const GOLDEN = sharedPath("goldens/peft-stories260K");
const BASE = sharedPath("models/stories260K");

/** Where the recorded run and its base model are; null where they are not beside the repository. */
export const goldenRun = GOLDEN && BASE ? { golden: GOLDEN, base: BASE, adapter: `${GOLDEN}/adapter` } : null;

/** How far a run here is from PEFT's. */
export interface GoldenErrors {
  /** Largest ‖g - PEFT's‖ / ‖PEFT's‖ over all parameters, of the gradients of steps 0 and 1. */
  readonly gradients: readonly [number, number];
  /** Largest relative error of the 20 losses. */
  readonly losses: number;
}

interface Meta {
  readonly losses: readonly number[];
  readonly r: number;
  readonly delora_lambda: number;
  readonly target_modules: readonly string[];
}

/** The recorded run's settings, token ids and tensors. */
async function readGolden(): Promise<{
  meta: Meta;
  ids: number[][];
  read: (name: string) => Promise<Map<string, SafetensorsTensor>>;
}> {
  if (!goldenRun) throw new Error("the recorded run is absent");
  const { golden } = goldenRun;
  const read = async (name: string): Promise<Map<string, SafetensorsTensor>> =>
    (await readSafetensors(`${golden}/${name}.safetensors`)).tensors;
  const stored = (await read("run")).get("input_ids");
  if (!stored) throw new Error("run.safetensors has no input_ids");
  const [count, time] = stored.shape;
  const flat = decodeInt32(stored);
  const ids = Array.from({ length: count }, (_, row) => [...flat.subarray(row * time, (row + 1) * time)]);
  return { meta: JSON.parse(await readFile(`${golden}/meta.json`, "utf8")), ids, read };
}

/** The base model of the recorded run, on a device. */
export const goldenBase = (device: Device): Promise<LlamaForCausalLM> =>
  LlamaForCausalLM.fromPretrained(goldenRun?.base ?? "", { device });

/** Repeat the 20 steps from PEFT's initial adapter and measure the distance. */
export async function repeatGoldenRun(device: Device): Promise<GoldenErrors> {
  const { meta, ids, read } = await readGolden();
  const { r, delora_lambda: deloraLambda, target_modules: targetModules } = meta;
  const peft = getPeftModel(await goldenBase(device), new DeloraConfig({ r, deloraLambda, targetModules }));
  const initial = [...(await read("init_delora_state"))].map(([name, stored]) => {
    return [
      name.replace("base_model.model.", ""),
      tensor(decodeFloat32(stored), { shape: stored.shape, device: "cpu" }),
    ] as const;
  });
  const report = peft.baseModel.loadStateDict(new Map(initial), { strict: false });
  if (report.unexpected.length > 0) throw new Error(`PEFT's names are not ours: ${report.unexpected}`);
  const trained = peft.namedParameters().filter(([, parameter]) => parameter.requiresGrad);
  const optimizer = new AdamW(
    trained.map(([, parameter]) => parameter),
    { lr: 1e-2, weightDecay: 0 },
  );
  const gradients: [number, number] = [Number.NaN, Number.NaN];
  let losses = 0;
  peft.train();
  for (const [step, expected] of meta.losses.entries()) {
    const batch = ids.slice((step % 4) * 4, (step % 4) * 4 + 4);
    const { loss } = peft.forward({ inputIds: batch, labels: batch });
    if (!loss) throw new Error("no loss");
    optimizer.zeroGrad();
    loss.backward();
    if (step < 2) gradients[step] = await gradientError(trained, await read(`grads_step${step}`));
    losses = Math.max(losses, Math.abs((await loss.item()) / expected - 1));
    optimizer.step();
  }
  return { gradients, losses };
}

async function gradientError(
  trained: readonly [string, Tensor][],
  expected: ReadonlyMap<string, SafetensorsTensor>,
): Promise<number> {
  const errors = trained.map(async ([name, { grad }]) => {
    const stored = expected.get(name);
    if (!stored || !grad) throw new Error(`${name}: no gradient ${stored ? "here" : "in the recorded run"}`);
    return relativeError(await grad.data(), decodeFloat32(stored));
  });
  return Math.max(...(await Promise.all(errors)));
}

/** ‖actual - expected‖ / ‖expected‖; where nothing is expected, ‖actual‖. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i] - expected[i]) ** 2;
    size += expected[i] ** 2;
  }
  return Math.sqrt(difference) / (size > 0 ? Math.sqrt(size) : 1);
}

/**
 * Distance of the logits of PEFT's trained adapter, beside the base and merged into it, and of the reloaded
 * files' bytes.
 */
export async function loadGoldenAdapter(device: Device): Promise<{ adapter: number; merged: number }> {
  const { ids, read } = await readGolden();
  const run = await read("run");
  const expected = (name: string): Float32Array =>
    decodeFloat32(run.get(name) ?? { dtype: "F32", data: new Uint8Array() });
  const logits = async (model: {
    forward(inputs: { inputIds: number[][] }): { logits: Tensor };
  }): Promise<ArrayLike<number>> => noGrad(() => model.forward({ inputIds: [ids[0]] }).logits).data();
  const peft = await PeftModel.fromPretrained(await goldenBase(device), goldenRun?.adapter ?? "");
  const adapter = relativeError(await logits(peft), expected("logits_adapter_row0"));
  const merged = relativeError(await logits(await peft.mergeAndUnload()), expected("logits_merged_row0"));
  return { adapter, merged };
}
