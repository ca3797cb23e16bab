import type { Side } from "../harness/side.ts";
import { type DeloraSize, writeDelora } from "../workloads/delora.ts";
import { openSide } from "./open-side.ts";

/** Writes the model, adapter and ids of a DeLoRA contest into a folder. */
export async function deloraFiles({ folder, size }: { readonly folder: string; readonly size: DeloraSize }): Promise<Side> {
  const facts = await openSide("cpu");
  await writeDelora(folder, size);
  return { facts, run: async () => ({ times: [] }) };
}
