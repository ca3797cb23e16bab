import { contest } from "../harness/contest.ts";
import { polargrad } from "../harness/contenders.ts";
import { figures, type Measurement } from "../harness/figure.ts";
import { expectUntrained } from "../harness/gates.ts";
import { gpu } from "../harness/gpu.ts";
import type { Row } from "../harness/row.ts";
import { best, logLogSlope } from "../harness/statistics.ts";
import type { Device } from "../../src/index.ts";
import type { DeloraSize } from "../workloads/delora.ts";
import { withFiles } from "./delora.ts";

const TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const BASE: DeloraSize = { vocabulary: 1024, width: 128, layers: 4, heads: 4, keyValueHeads: 4, feedForward: 352, batch: 4, time: 64, rank: 8, targets: TARGETS };

/** What grows, and to which values: a factor of 16 at least. */
const AXES: Readonly<Record<string, readonly (readonly [x: number, size: DeloraSize])[]>> = {
  tokens: [1, 2, 4, 8, 16, 32].map((batch) => [batch * BASE.time, { ...BASE, batch }]),
  length: [32, 64, 128, 256, 512, 1024].map((time) => [time, { ...BASE, batch: 1, time }]),
  rank: [2, 4, 8, 16, 32, 64].map((rank) => [rank, { ...BASE, rank }]),
  layers: [1, 2, 4, 8, 16, 32].map((layers) => [layers, { ...BASE, layers }]),
  vocabulary: [1024, 4096, 16384, 65536].map((vocabulary) => [vocabulary, { ...BASE, vocabulary }]),
};

const growth = (axis: string, device: Device): Row => ({
  name: `${device === "cpu" ? "" : "gpu-"}cost-${axis}`,
  about: `growth of a DeLoRA step's time and memory with ${axis}, on ${device === "cpu" ? "the CPU" : "WebGPU"}`,
  ...(device === "cpu" ? {} : { onRequest: true }),
  run: () =>
    figures("growth", async () => {
      const points: Point[] = [];
      for (const [x, size] of AXES[axis]) points.push(await measure(x, size, device));
      return [exponent(points, axis, "ms"), exponent(points, axis, "mb")];
    }),
});

/** How cost grows: exponents of the power laws that fit best. */
export const costRows: readonly Row[] = (["cpu", "webgpu"] as const).flatMap((device) => Object.keys(AXES).map((axis) => growth(axis, device)));

interface Point {
  readonly x: number;
  /** Milliseconds a step. */
  readonly ms: number;
  /** Peak memory beyond that of the library with nothing loaded, in MB (10^6 bytes). */
  readonly mb: number;
  readonly on: string;
}

function measure(x: number, size: DeloraSize, device: Device): Promise<Point> {
  return withFiles(size, async (folder) => {
    const env = device === "cpu" ? {} : (await gpu()).env;
    const side = polargrad("training", { device, workload: "delora", folder }, { env });
    const [{ losses, times, facts, peakMb }] = await contest([side], { warmUp: 3, rounds: 3, units: 4 });
    expectUntrained(losses[0], size.vocabulary);
    return { x, ms: best(times), mb: peakMb - Number(facts.startMb), on: String(facts.adapter ?? `Node ${facts.node}`) };
  });
}

function exponent(points: readonly Point[], axis: string, of: "ms" | "mb"): Measurement & { readonly name: string } {
  const [first, last] = [points[0], points[points.length - 1]];
  const unit = of === "ms" ? "ms" : "MB";
  const ends = `${first[of].toPrecision(3)} to ${last[of].toPrecision(3)} ${unit} over ${first.x} to ${last.x} ${axis}`;
  return {
    name: of === "ms" ? "time" : "memory",
    value: logLogSlope(points.map((point) => [point.x, point[of]])),
    unit: "exponent",
    check: `${ends}; first losses near ln(vocabulary)`,
    on: first.on,
    details: Object.fromEntries(points.map((point) => [String(point.x), point[of]])),
  };
}
