import { contest } from "../harness/contest.ts";
import { polargrad } from "../harness/contenders.ts";
import { figures, type Measurement, type Target } from "../harness/figure.ts";
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

const FORMATS = ["bf16", "q8_0", "q4_0"] as const;

/** Products of tokens with a weight as SmolLM2 has them, the weight decoded inside the kernel. */
export const gpuStored: Row = {
  name: "gpu-stored",
  about: "tokens x 576 x 1536 products (Linear) on WebGPU with the weight in bf16, q8_0 and q4_0, beside f32",
  run: () =>
    figures("product", async () => {
      const choice = await gpu();
      const all: (Measurement & { readonly name: string })[] = [];
      for (const [m, units] of [[1, 64], [1024, 8]]) {
        const sides = [undefined, ...FORMATS].map((format) => {
          const options = { device: "webgpu", mode: "NT", m, n: 1536, k: 576, ...(format ? { format } : {}) } as const;
          return polargrad("gemm", options, { name: format ?? "f32", env: choice.env });
        });
        const [f32, ...stored] = await contest(sides, { warmUp: 2, rounds: 8, units });
        const gflops = (times: readonly number[]): number => (2 * m * 1536 * 576) / best(times) / 1e6;
        for (const { name, facts, times } of stored) {
          const check = expectSmall(Number(facts.error), LIMIT);
          all.push({ name: `${m} x 576 x 1536 ${name}`, value: gflops(times), unit: "GFLOPS", peer: { name: "f32", value: gflops(f32.times) }, check, on: choice.adapter });
        }
      }
      return all;
    }),
};

/** Square products on the WebGPU adapter; the largest is for hardware. */
export const gpuMatmulRows: readonly Row[] = [square(512), square(1024), square(4096, true)];
