import { contest } from "../harness/contest.ts";
import { ifHere, polargrad, pythonPeer } from "../harness/contenders.ts";
import { type Figure, figures, type Measurement, type Target } from "../harness/figure.ts";
import { expectSmall } from "../harness/gates.ts";
import { type Engine, engines } from "../harness/machine.ts";
import type { Row } from "../harness/row.ts";
import { best, median } from "../harness/statistics.ts";
import type { GemmOptions } from "../sides/gemm.ts";

const LIMIT = 1e-5;
const THREADS = [1, 2];
const LINEAR: GemmOptions = { device: "cpu", mode: "NT", m: 1024, n: 576, k: 576 };

/** GFLOPS to reach by threads: with 256-bit kernels (Node 24), and with 128-bit ones. */
const REACH: Readonly<Record<number, Readonly<Record<"new" | "old", Target>>>> = {
  1: { new: { better: "higher", reach: 85, firstLook: 45 }, old: { better: "higher", reach: 45 } },
  2: { new: { better: "higher", reach: 160, firstLook: 85 }, old: { better: "higher", reach: 85 } },
};
const OF_PYTORCH: Target = { better: "higher", reach: 0.85 };

/** The Linear product of a small Llama on every Node here, beside PyTorch. */
export const cpuGemm: Row = {
  name: "cpu-gemm",
  about: "x·Wᵀ of 1024 x 576 x 576 in f32 on the CPU, 1 and 2 threads, each Node here; PyTorch",
  async run() {
    const all: Figure[] = [];
    for (const threads of THREADS) {
      for (const engine of engines()) {
        const isNew = Number.parseInt(engine.version.slice(1), 10) >= 24;
        const targets = isNew ? { value: REACH[threads].new, ratio: OF_PYTORCH } : { value: REACH[threads].old };
        all.push(...(await figures(`Node ${engine.version}, ${count(threads)}`, async () => [{ ...(await race(LINEAR, threads, engine)), targets }])));
      }
    }
    return all;
  },
};

const SKINNY = [8, 32, 64].flatMap((rank): [string, GemmOptions][] => [
  [`576 to ${rank}`, { ...LINEAR, n: rank, backward: true }],
  [`${rank} to 576`, { ...LINEAR, k: rank, backward: true }],
]);

/** The products of an adapter, with their gradients. */
export const cpuGemmSkinny: Row = {
  name: "cpu-gemm-skinny",
  about: "adapter products of 1024 rows, rank 8 to 64, forward and both gradients, all threads; PyTorch",
  async run() {
    const [engine] = engines();
    const all: Figure[] = [];
    for (const [name, options] of SKINNY) all.push(...(await figures(name, async () => [await race(options, null, engine)])));
    return all;
  },
};

/** The square product that READMEs of other libraries quote. */
export const cpuGemmSquare: Row = {
  name: "cpu-gemm-512",
  about: "512 x 512 x 512 product in f32 on the CPU, 1 thread; PyTorch",
  run: () => figures("1 thread", async () => [await race({ device: "cpu", mode: "NN", m: 512, n: 512, k: 512 }, 1, engines()[0])]),
};

/** GFLOPS of a product in turns with PyTorch. `threads` null: all that each takes by itself. */
async function race(options: GemmOptions, threads: number | null, engine: Engine): Promise<Measurement> {
  const { m, n, k, backward = false } = options;
  const flops = 2 * m * n * k * (backward ? 3 : 1);
  const env: Record<string, string> = threads === null ? {} : { POLARGRAD_THREADS: String(threads) };
  const outcomes = await contest(
    [
      polargrad("gemm", options, { env, node: engine.path }),
      ...ifHere(() => pythonPeer("PyTorch", "torch-gemm.py", [JSON.stringify(options), String(threads ?? 0)], ["torch"])),
    ],
    { warmUp: 20, rounds: 8, units: Math.ceil(1e10 / flops) },
  );
  const [ours, theirs] = outcomes;
  const check = expectSmall(Number(ours.facts.error), LIMIT);
  const gflops = (ms: number): number => flops / ms / 1e6;
  return {
    value: gflops(best(ours.times)),
    unit: "GFLOPS",
    ...(theirs ? { peer: { name: "PyTorch", value: gflops(best(theirs.times)) } } : {}),
    check,
    on: `Node ${engine.version}`,
    details: { median: gflops(median(ours.times)), coresBusy: ours.cores },
  };
}

const count = (threads: number): string => `${threads} thread${threads === 1 ? "" : "s"}`;
