import { join } from "node:path";
import { contest } from "../harness/contest.ts";
import { polargrad } from "../harness/contenders.ts";
import { figures, type Target } from "../harness/figure.ts";
import { expectLosses } from "../harness/gates.ts";
import { gpu, isLavapipe } from "../harness/gpu.ts";
import { inTemporaryFolder } from "../harness/paths.ts";
import type { Row } from "../harness/row.ts";
import { best } from "../harness/statistics.ts";
import { LLAMA_LOSSES } from "../workloads/llama.ts";

/** Milliseconds on lavapipe. */
const FIRST_STEP: Target = { better: "lower", reach: 3000, firstLook: 6000 };
const OVERHEAD: Target = { better: "lower", reach: 3 };

/** The first step of the 0.47 M Llama where the driver has compiled nothing yet, in several processes. */
export const gpuColdStart: Row = {
  name: "gpu-cold-start",
  about: "opening WebGPU, making the 0.47 M Llama and its first training step, with an empty shader cache",
  run: () =>
    figures("first loss", async () => {
      const choice = await gpu();
      const times: number[] = [];
      let check = "";
      for (let process = 0; process < 3; process++) {
        const { facts, warmUp, losses } = await inTemporaryFolder(async (folder) => {
          const [cache, nvidia] = ["mesa", "nvidia"].map((name) => join(folder, name));
          const env = { ...choice.env, MESA_SHADER_CACHE_DIR: cache, __GL_SHADER_DISK_CACHE_PATH: nvidia };
          const side = polargrad("training", { device: "webgpu", workload: "llama" }, { env });
          return (await contest([side], { warmUp: 4, rounds: 0, units: 0 }))[0];
        });
        check = expectLosses(losses, LLAMA_LOSSES);
        // Kernels may be compiled while device and model are made: that is part of the wait.
        times.push(Number(facts.openMs) + warmUp[0]);
      }
      const targets = isLavapipe(choice) ? { value: FIRST_STEP } : {};
      return [{ value: best(times), unit: "ms", targets, check, on: choice.adapter, details: { worst: Math.max(...times) } }];
    }),
};

/** What our JavaScript costs in a replayed step. */
export const gpuOverhead: Row = {
  name: "gpu-overhead",
  about: "JavaScript of a replayed step of the 0.47 M Llama on WebGPU, per dispatch, beside the calls into WebGPU themselves",
  run: () =>
    figures("dispatch", async () => {
      const choice = await gpu();
      const options = { device: "webgpu", workload: "llama" } as const;
      const sides = [polargrad("dispatchOverhead", options, { env: choice.env }), polargrad("bareCalls", options, { name: "bare calls", env: choice.env })];
      const [ours, bare] = await contest(sides, { warmUp: 12, rounds: 8, units: 20 });
      const [whole, calls] = [ours, bare].map(({ times }) => 1000 * best(times));
      const check = expectLosses(ours.losses, LLAMA_LOSSES);
      const common = { unit: "µs", check, on: choice.adapter, details: { dispatches: ours.facts.dispatches ?? 0 } };
      return [
        { ...common, name: "ours, beside WebGPU's calls", value: whole - calls, targets: { value: OVERHEAD } },
        { ...common, name: "all", value: whole, peer: { name: "bare calls", value: calls } },
      ];
    }),
};
