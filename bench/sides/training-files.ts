import { writeFileSync } from "node:fs";
import type { Side } from "../harness/side.ts";
import { serializeSafetensors } from "../../src/io/index.ts";
import { entriesOf } from "../workloads/arrays.ts";
import { llamaArrays } from "../workloads/llama.ts";
import { mlpArrays } from "../workloads/mlp.ts";
import { openSide } from "./open-side.ts";

/** Writes the parameters and data of a workload into a safetensors file, for peers in other languages. */
export async function trainingFiles({ file, workload }: { readonly file: string; readonly workload: "mlp" | "llama" }): Promise<Side> {
  const facts = await openSide("cpu");
  const { weights, batch } = workload === "mlp" ? { weights: mlpArrays(), batch: new Map() } : llamaArrays();
  writeFileSync(file, serializeSafetensors([...entriesOf(weights), ...entriesOf(batch)]));
  return { facts, run: async () => ({ times: [] }) };
}
