import { join } from "node:path";
import { contest, type Outcome } from "../harness/contest.ts";
import { ifHere, polargrad, pythonPeer } from "../harness/contenders.ts";
import { figures, type Measurement, type Target } from "../harness/figure.ts";
import { expectLosses } from "../harness/gates.ts";
import { gpu, isLavapipe } from "../harness/gpu.ts";
import { inTemporaryFolder } from "../harness/paths.ts";
import type { Row } from "../harness/row.ts";
import { best, median } from "../harness/statistics.ts";
import { LLAMA_LOSSES, LLAMA_TOKENS } from "../workloads/llama.ts";
import { MLP_LOSSES } from "../workloads/mlp.ts";

/** A training step that every peer has. */
type Workload = "mlp" | "llama";

const LOSSES = { mlp: MLP_LOSSES, llama: LLAMA_LOSSES };
const ABOUT = {
  mlp: "training step of a classifier, 64 rows, 784-256-10, Adam",
  llama: "training step of a Llama of 0.47 M parameters, all weights, 4 x 64 tokens, Adam",
};
const LENGTH = { warmUp: 12, rounds: 8, units: 12 };

/** A step on the CPU beside plain PyTorch. */
const onCpu = (workload: Workload, value?: Target): Row => ({
  name: `cpu-${workload}`,
  about: `${ABOUT[workload]}, on the CPU; PyTorch`,
  run: () => figures("step", async () => [{ ...(await race(workload)), ...(value ? { targets: { value } } : {}) }]),
});

/** A step on WebGPU. */
const onGpu = (workload: Workload, value?: Target): Row => ({
  name: `gpu-${workload}`,
  about: `${ABOUT[workload]}, on WebGPU`,
  run: () =>
    figures("step", async () => {
      const choice = await gpu();
      const side = polargrad("training", { device: "webgpu", workload }, { env: choice.env });
      const [ours] = await contest([side], LENGTH);
      return [{ ...measured(workload, ours), ...(value && isLavapipe(choice) ? { targets: { value } } : {}) }];
    }),
});

/** The training steps that every peer has too. */
export const trainingRows: readonly Row[] = [
  onCpu("mlp"),
  onCpu("llama", { better: "lower", reach: 10, firstLook: 25 }),
  onGpu("mlp"),
  onGpu("llama", { better: "lower", reach: 60, firstLook: 100 }),
];

/** Writes a workload's parameters and data for programs in other languages. */
export async function writeWorkload(workload: Workload, file: string): Promise<void> {
  await contest([polargrad("trainingFiles", { file, workload }, { name: "writing the workload" })], { warmUp: 0, rounds: 0, units: 0 });
}

function race(workload: Workload): Promise<Measurement> {
  return inTemporaryFolder(async (folder) => {
    const file = join(folder, "workload.safetensors");
    await writeWorkload(workload, file);
    const [ours, theirs] = await contest(
      [
        polargrad("training", { device: "cpu", workload }),
        ...ifHere(() => pythonPeer("PyTorch", "torch-training.py", [workload, file], ["torch", "safetensors"])),
      ],
      LENGTH,
    );
    if (theirs) expectLosses(theirs.losses, LOSSES[workload]);
    return { ...measured(workload, ours), ...(theirs ? { peer: { name: `PyTorch ${theirs.facts.torch}`, value: best(theirs.times) } } : {}) };
  });
}

const measured = (workload: Workload, { losses, times, facts, cores, warmUp, peakMb }: Outcome): Measurement => ({
  value: best(times),
  unit: "ms",
  check: expectLosses(losses, LOSSES[workload]),
  on: String(facts.adapter ?? `Node ${facts.node}`),
  details: {
    median: median(times),
    firstStepMs: warmUp[0],
    coresBusy: cores,
    peakMb,
    ...(workload === "llama" ? { tokensPerSecond: (LLAMA_TOKENS / best(times)) * 1000 } : {}),
  },
});
