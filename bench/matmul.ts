import { gemmVariant } from "../src/cpu/gemm.ts";
import { DeviceError } from "../src/tensor/errors.ts";
import { init, manualSeed, matmul, randn, tidy } from "../src/index.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import type { Measurement, Row } from "./row.ts";

const TOLERANCE = 1e-5;

/** Largest deviation of four elements of a · b from their f64 values, relative to the largest of them. */
async function errorOf(a: Tensor, b: Tensor, y: Tensor): Promise<number> {
  const [x, w, z] = await Promise.all([a.data(), b.data(), y.data()]);
  const n = a.shape[0];
  let worst = 0;
  let largest = 0;
  for (const at of [0, n - 1, n * (n >> 1) + 3, n * n - 1]) {
    let exact = 0;
    for (let k = 0; k < n; k++) exact += x[Math.floor(at / n) * n + k] * w[k * n + (at % n)];
    worst = Math.max(worst, Math.abs(exact - z[at]));
    largest = Math.max(largest, Math.abs(exact));
  }
  return worst / largest;
}

/** Best of several runs of `repeats` products, each waited for. */
async function gflops(n: number, repeats: number): Promise<Omit<Measurement, "on">> {
  manualSeed(1);
  const a = randn([n, n]);
  const b = randn([n, n]);
  const y = matmul(a, b);
  const error = await errorOf(a, b, y);
  if (!(error < TOLERANCE)) throw new Error(`matmul ${n} is wrong: relative error ${error}`);
  let best = 0;
  for (let run = 0; run < 5; run++) {
    const start = performance.now();
    const last = tidy(() => {
      let product = y;
      for (let i = 0; i < repeats; i++) product = matmul(a, b);
      return product;
    });
    await last.data();
    best = Math.max(best, (2 * n ** 3 * repeats) / (performance.now() - start) / 1e6);
    last.dispose();
  }
  for (const tensor of [a, b, y]) tensor.dispose();
  return { figure: best, unit: "GFLOPS", error };
}

const cpuRow = (n: number): Row => ({
  name: `matmul-${n}-cpu`,
  about: `${n}x${n} f32 product on the CPU, one thread`,
  async run() {
    await init({ device: "cpu" });
    return { ...(await gflops(n, 4)), on: `Node ${process.version}, WebAssembly ${gemmVariant()}` };
  },
});

const gpuRow = (n: number): Row => ({
  name: `matmul-${n}-webgpu`,
  about: `${n}x${n} f32 product on the WebGPU adapter`,
  async run() {
    try {
      const { profile } = await init({ device: "webgpu" });
      return { ...(await gflops(n, 4)), on: profile?.description ?? "" };
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      return { figure: 0, unit: "", error: 0, on: "webgpu", skipped: error.message };
    }
  },
});

/** Square products on both devices. */
export const matmulRows: readonly Row[] = [cpuRow(512), cpuRow(1024), gpuRow(512), gpuRow(1024)];
