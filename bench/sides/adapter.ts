import type { Side } from "../harness/side.ts";
import { openSide } from "./open-side.ts";

/** Names the WebGPU adapter. */
export async function adapter(_options: Readonly<Record<string, never>>): Promise<Side> {
  const facts = await openSide("webgpu");
  return { facts, run: async () => ({ times: [] }) };
}
