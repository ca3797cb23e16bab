import { allOps, openDevice } from "../ops/index.ts";
import { type DeclaredOp, opLaws } from "../testing/index.ts";
import { makeBar } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

/** Whether an op computes right on the GPU. */
export interface KernelVerdict {
  readonly op: string;
  /** What is wrong; null when all is right. */
  readonly problem: string | null;
  readonly seconds: number;
}

/** One random call of each kind for each kernel; the test suite draws more. */
const RUNS = 0.1;

/** The ops that have a kernel. */
export const opsWithKernels = (): readonly DeclaredOp[] =>
  allOps.filter(({ spec }) => !spec.view && (spec.wgsl ?? spec.pointwise ?? spec.fast?.wgsl) !== undefined);

/** Hold ops, forward and backward, against their f64 references on the open GPU. */
export async function checkKernels(ops: readonly DeclaredOp[], terminal: Terminal): Promise<KernelVerdict[]> {
  const bar = terminal.isTTY ? makeBar() : null;
  bar?.start(ops.length, 0, { state: "" });
  const verdicts: KernelVerdict[] = [];
  try {
    for (const op of ops) {
      const { name } = op.spec;
      bar?.update(verdicts.length, { state: name });
      const began = performance.now();
      const problem = await problemOf(op);
      verdicts.push({ op: name, problem, seconds: (performance.now() - began) / 1000 });
    }
  } finally {
    bar?.stop();
  }
  return verdicts;
}

async function problemOf(op: DeclaredOp): Promise<string | null> {
  try {
    // A kernel that the driver refuses ends the device; the next op gets a new one.
    await openDevice("webgpu");
    for (const law of opLaws(op, { device: "webgpu", runs: RUNS })) await law.run();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
