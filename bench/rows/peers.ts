import { join } from "node:path";
import type { Device } from "../../src/index.ts";
import { type Contender, contest, type Length } from "../harness/contest.ts";
import { javaScriptPeer, polargrad } from "../harness/contenders.ts";
import { NotHere } from "../harness/errors.ts";
import { type Figure, figures, type Measurement } from "../harness/figure.ts";
import { expectLosses, expectSmall } from "../harness/gates.ts";
import { gpu } from "../harness/gpu.ts";
import { inTemporaryFolder } from "../harness/paths.ts";
import type { Row } from "../harness/row.ts";
import { best, median } from "../harness/statistics.ts";
import { LLAMA_LOSSES } from "../workloads/llama.ts";
import { MLP_LOSSES } from "../workloads/mlp.ts";
import { writeWorkload } from "./training.ts";

type Peer = "jax-js" | "tfjs" | "onnx-runtime";
type Workload = "mlp" | "llama";

const LOSSES = { mlp: MLP_LOSSES, llama: LLAMA_LOSSES };
const STEPS: Length = { warmUp: 12, rounds: 6, units: 4 };
const PRODUCTS: Length = { warmUp: 3, rounds: 6, units: 4 };
const ERROR_LIMIT = 1e-5;

/** What other libraries call the device that they compute on. */
const backendOf = (peer: Peer, device: Device): string => (device === "webgpu" ? "webgpu" : peer === "onnx-runtime" ? "cpu" : "wasm");

const trainingBeside = (workload: Workload, device: Device): Row => ({
  name: `peers-${device === "cpu" ? "cpu" : "gpu"}-${workload}`,
  about: `the ${workload} step on ${device === "cpu" ? "the CPU" : "WebGPU"}, beside jax-js and TensorFlow.js`,
  onRequest: true,
  run: () =>
    inTemporaryFolder(async (folder) => {
      const file = join(folder, "workload.safetensors");
      await writeWorkload(workload, file);
      return beside(["jax-js", "tfjs"], async (peer) => {
        const env = await environment(device);
        const ours = polargrad("training", { device, workload }, { env });
        const [we, they] = await contest([ours, contender(peer, workload, device, file, env)], STEPS);
        expectLosses(they.losses, LOSSES[workload]);
        const check = expectLosses(we.losses, LOSSES[workload]);
        const memory = { peakMb: we.peakMb, peerPeakMb: they.peakMb };
        const first = { firstStepMs: we.warmUp[0], peerFirstStepMs: they.warmUp[0] };
        const details = { median: median(we.times), peerMedian: median(they.times), ...first, ...memory };
        return { value: best(we.times), unit: "ms", peer: { name: they.name, value: best(they.times) }, check, on: placeOf(we.facts), details };
      });
    }),
});

const productBeside = (n: number, device: Device): Row => ({
  name: `peers-${device === "cpu" ? "cpu" : "gpu"}-matmul-${n}`,
  about: `${n} x ${n} x ${n} product in f32 on ${device === "cpu" ? "the CPU" : "WebGPU"}, beside jax-js, TensorFlow.js and ONNX Runtime`,
  onRequest: true,
  run: () =>
    beside(["jax-js", "tfjs", "onnx-runtime"], async (peer) => {
      const env = await environment(device);
      const ours = polargrad("gemm", { device, mode: "NN", m: n, n, k: n }, { env });
      const [we, they] = await contest([ours, contender(peer, "matmul", device, String(n), env)], PRODUCTS);
      expectSmall(Number(they.facts.error), ERROR_LIMIT);
      const check = expectSmall(Number(we.facts.error), ERROR_LIMIT);
      const gflops = (times: readonly number[]): number => (2 * n ** 3) / best(times) / 1e6;
      return { value: gflops(we.times), unit: "GFLOPS", peer: { name: they.name, value: gflops(they.times) }, check, on: placeOf(we.facts) };
    }),
});

/** Other libraries on the same work: those that are installed in bench/peers. */
export const peerRows: readonly Row[] = (["cpu", "webgpu"] as const).flatMap((device) => [
  productBeside(512, device),
  productBeside(1024, device),
  trainingBeside("mlp", device),
  trainingBeside("llama", device),
]);

/** A figure for each peer; one that is not here or is wrong leaves the others alone. */
async function beside(peers: readonly Peer[], measure: (peer: Peer) => Promise<Measurement>): Promise<Figure[]> {
  const all: Figure[] = [];
  for (const peer of peers) all.push(...(await figures(`beside ${peer}`, async () => [await measure(peer)])));
  return all;
}

const placeOf = (facts: Readonly<Record<string, string | number>>): string => String(facts.adapter ?? `Node ${facts.node}`);

const contender = (peer: Peer, workload: Workload | "matmul", device: Device, argument: string, env: Readonly<Record<string, string>>): Contender => {
  const backend = backendOf(peer, device);
  return javaScriptPeer(`${peer} ${backend}`, `${peer}.mjs`, [workload, backend, argument], env);
};

/** What a process needs to find the adapter, which must be one that the peers find too. */
async function environment(device: Device): Promise<Readonly<Record<string, string>>> {
  if (device === "cpu") return {};
  const { env, adapter } = await gpu();
  if ("POLARGRAD_VULKAN_DIR" in env) throw new NotHere(`the peers cannot load ${adapter}; install a Vulkan driver`);
  return env;
}
