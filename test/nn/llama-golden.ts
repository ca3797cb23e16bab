import { decodeFloat64, decodeInt32, readSafetensors } from "../../src/io/index.ts";
import { LlamaForCausalLM } from "../../src/nn/index.ts";
import type { Device } from "../../src/tensor/storage.ts";
import { sharedPath } from "../shared.ts";

const model = sharedPath("models/stories260K");
const goldens = sharedPath("goldens/stories260K-f64.safetensors");

/** Paths of the pretrained model and of its f64 logits and gradients; null where they are absent. */
export const paths = model && goldens ? { model, goldens } : null;

/** Largest difference of two arrays relative to the largest element of the reference. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length)
    throw new Error(`${actual.length} elements, expected ${expected.length}`);
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i] - expected[i]));
    largest = Math.max(largest, Math.abs(expected[i]));
    if (Number.isNaN(actual[i])) return Number.NaN;
  }
  return difference / largest;
}

/** Errors of a run against the golden values. */
export interface GoldenErrors {
  readonly loss: number;
  readonly logits: number;
  /** By parameter name. */
  readonly gradients: ReadonlyMap<string, number>;
}

/** Run the pretrained model forward and backward over the golden ids and compare. */
export async function runGolden(device: Device, dtype: "f32" | "f64"): Promise<GoldenErrors> {
  if (!paths) throw new Error("../shared is absent");
  const { tensors } = await readSafetensors(paths.goldens);
  const golden = (name: string): { dtype: "F64"; data: Uint8Array } =>
    tensors.get(name) as { dtype: "F64"; data: Uint8Array };
  const llama = await LlamaForCausalLM.fromPretrained(paths.model, { device, dtype });
  const ids = Array.from(decodeInt32(golden("input_ids")));
  const { logits, loss } = llama.forward({ inputIds: [ids], labels: [ids] });
  if (!loss) throw new Error("no loss");
  const errors = {
    logits: relativeError(await logits.data(), decodeFloat64(golden("logits"))),
    loss: relativeError(await loss.data(), decodeFloat64(golden("loss"))),
  };
  logits.dispose();
  loss.backward();
  loss.dispose();
  const gradients = new Map<string, number>();
  for (const [name, { grad }] of llama.namedParameters()) {
    if (!grad) throw new Error(`${name} has no gradient`);
    gradients.set(name, relativeError(await grad.data(), decodeFloat64(golden(`grad.${name}`))));
  }
  return { ...errors, gradients };
}

/** The errors as one line for people. */
export function report(what: string, { loss, logits, gradients }: GoldenErrors): string {
  const [name, worst] = [...gradients].reduce((a, b) => (b[1] > a[1] ? b : a));
  const e = (value: number): string => value.toExponential(1);
  return `${what}: relative error ${e(logits)} (logits), ${e(loss)} (loss), ${e(worst)} (worst of ${gradients.size} gradients, ${name})`;
}
