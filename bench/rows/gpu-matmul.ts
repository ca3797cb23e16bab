import { contest } from "../harness/contest.ts";
import { polargrad } from "../harness/contenders.ts";
import { figures, type Target } from "../harness/figure.ts";
import { expectSmall } from "../harness/gates.ts";
import { gpu, isLavapipe } from "../harness/gpu.ts";
import type { Row } from "../harness/row.ts";
import { best, median } from "../harness/statistics.ts";

const LIMIT = 1e-5;
const ON_LAVAPIPE: Target = { better: "higher", reach: 25, firstLook: 15 };

const square = (n: number, onRequest = false): Row => ({
  name: `gpu-matmul-${n}`,
  about: `${n} x ${n} x ${n} product in f32 on WebGPU`,
  onRequest,
  run: () =>
    figures("product", async () => {
      const choice = await gpu();
      const side = polargrad("gemm", { device: "webgpu", mode: "NN", m: n, n, k: n }, { env: choice.env });
      const [{ facts, times, cores }] = await contest([side], { warmUp: 2, rounds: 8, units: 8 });
      const gflops = (ms: number): number => (2 * n ** 3) / ms / 1e6;
      const targets = isLavapipe(choice) && !onRequest ? { value: ON_LAVAPIPE } : {};
      const check = expectSmall(Number(facts.error), LIMIT);
      const details = { median: gflops(median(times)), coresBusy: cores };
      return [{ value: gflops(best(times)), unit: "GFLOPS", targets, check, on: choice.adapter, details }];
    }),
});

/** Square products on the WebGPU adapter; the largest is for hardware. */
export const gpuMatmulRows: readonly Row[] = [square(512), square(1024), square(4096, true)];
