import { readFile } from "node:fs/promises";
import { type AdaptedLinear, PeftModel } from "../../../src/delora/index.ts";
import { decodeFloat32, decodeInt32, readSafetensors, type SafetensorsTensor } from "../../../src/io/index.ts";
import type { CausalLMInputs } from "../../../src/nn/index.ts";
import { LlamaForCausalLM } from "../../../src/nn/llama-for-causal-lm.ts";
import { noGrad } from "../../../src/ops/index.ts";
import type { Device } from "../../../src/tensor/storage.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import { AdamW, clipGradNorm, getScheduler } from "../../../src/train/index.ts";
import { sharedPath } from "../../shared.ts";
import { relativeError } from "../golden-run.ts";

/** Adapters of every method that PEFT trained, with all that it computed on the way; null where they are not beside the repository. */
export const tinyGolden = sharedPath("goldens/peft-tiny");

/** The recorded methods. */
export const TINY_METHODS = ["delora", "lora", "dora"] as const;
export type TinyMethod = (typeof TINY_METHODS)[number];

/** How far a run here is from PEFT's, relative, by what is compared. */
export type Distances = Readonly<Record<string, number>>;

interface Trace {
  readonly lr: number;
  readonly weight_decay: number;
  readonly max_grad_norm: number;
  readonly steps: readonly { readonly lr: number; readonly loss: number; readonly grad_norm_before_clip: number }[];
}

type Model = PeftModel<LlamaForCausalLM>;

/** PEFT's numbers for one method, and the token ids. */
class Golden {
  readonly #tensors: ReadonlyMap<string, SafetensorsTensor>;
  readonly #numbers: Readonly<Record<string, unknown>>;

  private constructor(tensors: ReadonlyMap<string, SafetensorsTensor>, numbers: Readonly<Record<string, unknown>>) {
    this.#tensors = tensors;
    this.#numbers = numbers;
  }

  static async read(): Promise<Golden> {
    const numbers = JSON.parse(await readFile(`${tinyGolden}/golden.json`, "utf8"));
    return new Golden((await readSafetensors(`${tinyGolden}/golden.safetensors`)).tensors, numbers);
  }

  number(name: string): number {
    return this.#numbers[name] as number;
  }

  trace(method: TinyMethod): Trace {
    return this.#numbers[`${method}.trace`] as Trace;
  }

  values(name: string): Float32Array {
    return decodeFloat32(this.#stored(name));
  }

  names(prefix: string): string[] {
    return [...this.#tensors.keys()].filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  }

  /** A batch of two rows; the labels of the padding at the second's end do not count. */
  batch(step: number): CausalLMInputs & { readonly inputIds: number[][] } {
    const attentionMask = this.#rows("attention_mask", 0);
    const inputIds = this.#rows("input_ids", step);
    const labels = inputIds.map((row, i) => row.map((id, t) => (attentionMask[i][t] === 1 ? id : -100)));
    return { inputIds, attentionMask, labels };
  }

  #rows(name: string, step: number): number[][] {
    const stored = this.#stored(name);
    const [rows, width] = stored.shape.slice(-2);
    const flat = [...decodeInt32(stored)].slice(step * rows * width, (step + 1) * rows * width);
    return Array.from({ length: rows }, (_, row) => flat.slice(row * width, (row + 1) * width));
  }

  #stored(name: string): SafetensorsTensor {
    const stored = this.#tensors.get(name);
    if (!stored) throw new Error(`golden.safetensors has no ${name}`);
    return stored;
  }
}

const load = async (device: Device, adapter: string): Promise<Model> =>
  (
    await PeftModel.fromPretrained(
      await LlamaForCausalLM.fromPretrained(`${tinyGolden}/tiny-llama`, { device }),
      `${tinyGolden}/${adapter}`,
      { isTrainable: true },
    )
  ).eval();

type Runs = { forward(inputs: CausalLMInputs): { logits: Tensor } };

async function logitsError(model: Runs, golden: Golden, name: string): Promise<number> {
  const { inputIds, attentionMask } = golden.batch(0);
  const logits = noGrad(() => model.forward({ inputIds, attentionMask }).logits);
  return relativeError(await logits.data(), golden.values(name));
}

/** Loss and gradients of a step without an update: the largest distance of any gradient. */
async function gradientErrors(peft: Model, golden: Golden, at: string): Promise<[loss: number, gradients: number]> {
  const { loss } = peft.forward(golden.batch(0));
  if (!loss) throw new Error("no loss");
  loss.backward();
  let worst = 0;
  const trained = peft.namedParameters().filter(([, { requiresGrad }]) => requiresGrad);
  const expected = golden.names(`${at}.grad.`);
  if (trained.length !== expected.length) throw new Error(`${trained.length} gradients, PEFT has ${expected.length}`);
  for (const [name, { grad }] of trained) {
    if (!grad) throw new Error(`${name}: no gradient`);
    worst = Math.max(worst, relativeError(await grad.data(), golden.values(`${at}.grad.${name}`)));
  }
  peft.baseModel.zeroGrad();
  return [Math.abs((await loss.item()) / golden.number(`${at}.loss`) - 1), worst];
}

async function updateError(peft: Model, golden: Golden, prefix: string): Promise<number> {
  let worst = 0;
  for (const name of golden.names(prefix)) {
    const adapted = peft.baseModel.getSubmodule(name.replace("base_model.model.", "")) as AdaptedLinear;
    const delta = noGrad(() => adapted.getDeltaWeight("default"));
    worst = Math.max(worst, relativeError(await delta.data(), golden.values(prefix + name)));
  }
  return worst;
}

/** PEFT's initial adapter: its logits, loss and gradients, then the six recorded steps and what they end with. */
export async function repeatTinyRun(method: TinyMethod, device: Device): Promise<Distances> {
  const golden = await Golden.read();
  const peft = await load(device, `${method}-init`);
  const initLogits = await logitsError(peft, golden, `${method}.init.logits`);
  const [initLoss, initGradients] = await gradientErrors(peft, golden, `${method}.init`);
  const trained = peft.parameters().filter(({ requiresGrad }) => requiresGrad);
  const { lr, weight_decay: weightDecay, max_grad_norm: maxNorm, steps } = golden.trace(method);
  const optimizer = new AdamW(trained, { lr, weightDecay });
  const schedule = getScheduler("linear", optimizer, { numTrainingSteps: steps.length });
  let [losses, norms, rates] = [0, 0, 0];
  peft.train();
  for (const [i, step] of steps.entries()) {
    const { loss } = peft.forward(golden.batch(i));
    if (!loss) throw new Error("no loss");
    loss.backward();
    losses = Math.max(losses, Math.abs((await loss.item()) / step.loss - 1));
    norms = Math.max(norms, Math.abs((await clipGradNorm(trained, maxNorm)) / step.grad_norm_before_clip - 1));
    rates = Math.max(rates, Math.abs(schedule.getLastLr()[0] / step.lr - 1));
    optimizer.step();
    schedule.step();
    optimizer.zeroGrad();
  }
  peft.eval();
  const endLogits = await logitsError(peft, golden, `${method}.trained.logits`);
  const endUpdates = await updateError(peft, golden, `${method}.trained.delta.`);
  return { initLogits, initLoss, initGradients, losses, norms, rates, endLogits, endUpdates };
}

/** PEFT's trained adapter, from its files: logits, gradients, updates, and the same merged. */
export async function loadTinyAdapter(method: TinyMethod, device: Device): Promise<Distances> {
  const golden = await Golden.read();
  const peft = await load(device, `${method}-trained`);
  const logits = await logitsError(peft, golden, `${method}.trained.logits`);
  const [loss, gradients] = await gradientErrors(peft, golden, `${method}.trained`);
  const updates = await updateError(peft, golden, `${method}.trained.delta.`);
  const merged = await peft.mergeAndUnload({ safeMerge: true });
  const weight = merged.stateDict().get("model.layers.0.self_attn.q_proj.weight");
  if (!weight) throw new Error("no weight");
  const mergedWeight = relativeError(await weight.data(), golden.values(`${method}.merged.layer0.q_proj`));
  const mergedLogits = await logitsError(merged, golden, `${method}.merged.logits`);
  const alone = await LlamaForCausalLM.fromPretrained(`${tinyGolden}/tiny-llama`, { device });
  const base = await logitsError(alone, golden, "base.logits");
  return { logits, loss, gradients, updates, mergedWeight, mergedLogits, base };
}

/** A line of distances. */
export const shown = (distances: Distances): string =>
  Object.entries(distances)
    .map(([name, value]) => `${name} ${value.toExponential(1)}`)
    .join(", ");
