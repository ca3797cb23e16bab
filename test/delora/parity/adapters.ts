import { readFileSync } from "node:fs";
import { decodeFloat32, readSafetensors } from "../../../src/io/index.ts";
import { GOLDENS } from "./models.ts";

/** What PEFT made of an adapter as LoRA. */
export interface RecordedConversion {
  /** A rank, or an energy below 1. */
  readonly rank: number;
  readonly config: { readonly r: number; readonly rank_pattern: Readonly<Record<string, number>> };
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

/** An adapter that PEFT saved. */
export interface RecordedAdapter {
  readonly base: string;
  readonly type: string;
  /** The fields that PEFT's config was made from. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Front matter of the model card. */
  readonly card: string;
  /** All names in the state dict, without `base_model.model.`; of some adapters. */
  readonly keys?: readonly string[];
  /** Path of the module whose update is recorded. */
  readonly delta: string;
  /** Of some adapters. */
  readonly conversions?: readonly RecordedConversion[];
}

/** By the names of their folders. */
export const { adapters } = JSON.parse(readFileSync(`${GOLDENS}adapters.json`, "utf8")) as {
  readonly adapters: Readonly<Record<string, RecordedAdapter>>;
};

const { tensors } = await readSafetensors(`${GOLDENS}answers.safetensors`);

/** Whether something was recorded under this name. */
export const isAnswered = (name: string): boolean => tensors.has(name);

/** What PEFT computed. */
export function answer(name: string): Float32Array {
  const stored = tensors.get(name);
  if (!stored) throw new Error(`answers.safetensors has no ${name}`);
  return decodeFloat32(stored);
}
