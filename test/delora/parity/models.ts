import { fileURLToPath } from "node:url";
import { afterAll, beforeAll } from "vitest";
import { DeloraConfig, LoraConfig, type PeftConfig } from "../../../src/delora/index.ts";
import { LlamaForCausalLM } from "../../../src/nn/llama-for-causal-lm.ts";
import { noGrad, tensor } from "../../../src/ops/index.ts";
import type { Parameter } from "../../../src/tensor/parameter.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";

/** The recorded files. */
export const GOLDENS = fileURLToPath(new URL("../../goldens/parity/", import.meta.url));

/** The row of token ids of all recorded logits. */
export const IDS = [[1, 5, 9, 30, 2, 17, 17, 4]];

/** Work in the directory of the recorded files, where the base models have the names that PEFT noted. */
export function useGoldens(): void {
  const before = process.cwd();
  beforeAll(() => process.chdir(GOLDENS));
  afterAll(() => process.chdir(before));
}

/** A recorded base model: tiny-plain, tiny-biased, tiny-tied or tiny-half. */
export const base = (name: string): Promise<LlamaForCausalLM> =>
  LlamaForCausalLM.fromPretrained(name, { device: "cpu" });

/** `deloraLambda` for `delora_lambda`; values as they are. */
export function camelCased<T = unknown>(fields: Readonly<Record<string, T>>): Record<string, T> {
  const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [camel(name), value]));
}

/** A config from PEFT's fields. */
export function configOf(type: string, fields: Readonly<Record<string, unknown>>): PeftConfig {
  const Class = type === "LORA" ? LoraConfig : DeloraConfig;
  return new Class(camelCased(fields));
}

/** Numbers in -1…1 that depend on a name and a position only: those of scripts/parity_models.py. */
export function wave(name: string, size: number): Float32Array {
  const seed = [...name].reduce((sum, letter) => sum + (letter.codePointAt(0) ?? 0), 0);
  return Float32Array.from({ length: size }, (_, k) => Math.sin(seed + 1.7 * k + 0.31 * k * k));
}

/** Give an adapter the values that it had in PEFT: the matrices are waves, all else of it is moved by a small one. */
export function fill(parameters: readonly [string, Parameter][], adapter: string): void {
  for (const [name, parameter] of parameters) {
    if (!`${name}.`.includes(`.${adapter}.`) || name.includes("lambda")) continue;
    if (/\.(delora|lora)_[AB]\./.test(name)) put(parameter, wave(name, parameter.size).map((value) => 0.3 * value));
    else move(name, parameter);
  }
}

/** Move a parameter by a small wave. */
export function move(name: string, parameter: Parameter): void {
  const values = parameter.dataSync();
  put(parameter, wave(name, parameter.size).map((value, k) => values[k] + 0.05 * value));
}

/** Set a parameter's values. */
export function put(parameter: Parameter, values: Float32Array): void {
  const value = tensor(values, { shape: parameter.shape, device: "cpu" });
  parameter.assign(value);
  value.dispose();
}

/** A model that gives logits. */
export interface Runs {
  forward(inputs: { inputIds: number[][] }): { logits: Tensor };
}

/** The scores of the row's last three tokens. */
export function logitsOf(model: Runs, inputs: object = {}): number[] {
  const logits = noGrad(() => model.forward({ inputIds: IDS, ...inputs }).logits);
  return [...logits.dataSync()].slice(-3 * (logits.shape.at(-1) ?? 1));
}

/** ‖actual - expected‖ / ‖expected‖. */
export { relativeError } from "../golden-run.ts";

const TENSOR = /lora_(A|B|lambda|w_norm|magnitude_vector)(?=\.|$)/;

/**
 * Names without PEFT's prefix, those of both layers as `layers.*`, those of an adapter's tensors as
 * `delora_{A,B,lambda}`: as in scripts/record-scenes.py.
 */
export function short(names: Iterable<string>): string[] {
  const plain = [...names].map((name) => name.replace(/^base_model\.model\./, "").replace(/^model\./, ""));
  const known = new Set(plain);
  const found = new Map<string, string[]>();
  for (let name of plain) {
    const twin = name.replace(/layers\.([01])\./g, (_, layer: string) => `layers.${1 - Number(layer)}.`);
    if (twin !== name && known.has(twin)) name = name.replace(/layers\.[01]\./g, "layers.*.");
    const part = TENSOR.exec(name)?.[1];
    const key = part ? name.replace(TENSOR, "lora_{}") : name;
    const parts = found.get(key) ?? [];
    if (part && !parts.includes(part)) parts.push(part);
    found.set(key, parts);
  }
  return [...found].map(([key, parts]) => key.replace("{}", `{${parts.join(",")}}`));
}
