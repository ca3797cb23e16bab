import { tmpdir } from "node:os";
import { unpackSwiftShader } from "../../scripts/swiftshader.ts";
import { contest } from "./contest.ts";
import { polargrad } from "./contenders.ts";
import { NotHere, WrongResult } from "./errors.ts";
import { say } from "./progress.ts";

/** A WebGPU adapter and what a process needs in its environment to find it. */
export interface GpuChoice {
  readonly adapter: string;
  readonly isSoftware: boolean;
  readonly env: Readonly<Record<string, string>>;
}

let choice: Promise<GpuChoice> | null = null;

/** The adapter that the machine's own drivers offer, else SwiftShader from npm. @throws NotHere when neither works */
export function gpu(): Promise<GpuChoice> {
  choice ??= findGpu();
  return choice;
}

/** Whether this adapter is Mesa's lavapipe, which the targets of WebGPU rows are for. */
export const isLavapipe = ({ adapter }: GpuChoice): boolean => /llvmpipe/i.test(adapter);

async function findGpu(): Promise<GpuChoice> {
  const runtime = { XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir() };
  const problems: string[] = [];
  for (const environment of [() => runtime, () => ({ ...runtime, POLARGRAD_VULKAN_DIR: unpackSwiftShader() })]) {
    try {
      const env = environment();
      const [{ facts }] = await contest([polargrad("adapter", {}, { env })], { warmUp: 0, rounds: 0, units: 0 });
      say(`adapter: ${facts.adapter}`);
      return { adapter: String(facts.adapter), isSoftware: facts.isSoftware === 1, env };
    } catch (error) {
      if (!(error instanceof NotHere || error instanceof WrongResult)) throw error;
      problems.push(error.message);
    }
  }
  throw new NotHere(`no WebGPU adapter: ${problems.join("; ")}`);
}
