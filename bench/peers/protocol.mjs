// A contestant's side of the protocol of bench/harness/side.ts, and what all peers in JavaScript need.
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

/** Answers a contest with what `open` gives: { facts, run(count) -> { times, losses } }. */
export async function serve(open) {
  let side;
  try {
    side = await open();
  } catch (error) {
    if (error.code !== "ERR_MODULE_NOT_FOUND" && error.code !== "MODULE_NOT_FOUND") throw error;
    answer({ missing: "not installed: npm install --prefix bench/peers" });
    process.exit(0);
  }
  answer({ facts: side.facts });
  for await (const line of createInterface({ input: process.stdin })) {
    const [start, before] = [performance.now(), process.cpuUsage()];
    const round = await side.run(Number(line));
    const { user, system } = process.cpuUsage(before);
    answer({ ...round, cpuMs: (user + system) / 1000, wallMs: performance.now() - start });
  }
  answer({ peakMb: (process.resourceUsage().maxRSS * 1024) / 1e6 });
  process.exit(0);
}

/** `run` for an async function that does one step and gives its loss. */
export const timedSteps = (step) => async (count) => {
  const [times, losses] = [[], []];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    losses.push(await step());
    times.push(performance.now() - start);
  }
  return { times, losses };
};

/** `run` for an async function that does some products and waits for all: on WebGPU they are queued together, on the CPU each is timed. */
export const timedProducts = (work, device) => async (count) => {
  const together = device === "webgpu" ? count : 1;
  const times = [];
  for (let done = 0; done < count; done += together) {
    const start = performance.now();
    await work(together);
    times.push((performance.now() - start) / together);
  }
  return { times };
};

/** The arrays of a file that trainingFiles wrote, by name: { shape, data }. */
export function readArrays(file) {
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, start));
  delete header.__metadata__;
  const array = ({ dtype, shape, data_offsets: [from, to] }) => {
    const own = bytes.buffer.slice(bytes.byteOffset + start + from, bytes.byteOffset + start + to);
    return { shape, data: dtype === "I32" ? new Int32Array(own) : new Float32Array(own) };
  };
  return Object.fromEntries(Object.entries(header).map(([name, entry]) => [name, array(entry)]));
}

/** A weight [out, in] as the [in, out] that `x · w` takes; anything that is no matrix as it is. */
export function inputByOutput({ shape, data }) {
  if (shape.length !== 2) return { shape, data };
  const [rows, columns] = shape;
  const turned = Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]);
  return { shape: [columns, rows], data: turned };
}

/** Numbers in [-0.5, 0.5) for a product. */
export function randomNumbers(count, seed) {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}

/** Largest deviation of a few elements of a square product from their f64 values, over the largest of them. */
export function productError(a, b, y, n) {
  let [worst, largest] = [0, 0];
  for (const [row, column] of [[0, 0], [n >> 1, 3], [n - 1, n - 1]]) {
    let exact = 0;
    for (let k = 0; k < n; k++) exact += a[row * n + k] * b[k * n + column];
    worst = Math.max(worst, Math.abs(exact - y[row * n + column]));
    largest = Math.max(largest, Math.abs(exact));
  }
  return worst / largest;
}

/** Cosines and sines of the rotary angles, each [time, size], the two halves of a head alike. */
export function rotaryTables(time, size) {
  const angle = (i) => Math.floor(i / size) * 10000 ** ((-2 * (i % (size / 2))) / size);
  const table = (f) => Float32Array.from({ length: time * size }, (_, i) => f(angle(i)));
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/** Puts Dawn where libraries for browsers look for WebGPU. @returns the adapter's name */
export async function offerWebGpu() {
  const { create, globals } = await import("webgpu");
  Object.assign(globalThis, globals);
  const gpu = create([]);
  // Dawn's object must outlive everything else, and its promises do not keep the process alive.
  globalThis.benchGpu = gpu;
  setInterval(() => {}, 2 ** 30);
  Object.defineProperty(globalThis.navigator, "gpu", { value: gpu, configurable: true });
  globalThis.requestAnimationFrame ??= (callback) => setTimeout(() => callback(performance.now()), 0);
  return (await gpu.requestAdapter()).info.description;
}
