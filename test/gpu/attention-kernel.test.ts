import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AttentionDims, type AttentionStep, attentionPlan } from "../../src/gpu/attention-kernel.ts";
import type { Gpu } from "../../src/gpu/device.ts";
import type { KernelProfile } from "../../src/tensor/op-spec.ts";
import { openTestGpu } from "../driver.ts";
import { keysOf, referenceAttention } from "./attention-reference.ts";
import { noise, runPlan } from "./kernel-harness.ts";

const STEPS: readonly AttentionStep[] = ["forward", "lse", "delta", "dq", "dk", "dv"];

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openTestGpu();
});
afterAll(() => gpu.close());

/** The kernels that rows share by broadcast, where this adapter has them, and those of hardware GPUs. */
const FAMILIES: Readonly<Record<string, () => KernelProfile>> = {
  "this device": () => ({ ...gpu.profile, subgroups: gpu.profile.features.subgroups }),
  "a hardware GPU": () => ({ isSoftware: false, subgroups: false, subgroupSize: null }),
};

interface Inputs {
  readonly q: Float32Array;
  readonly k: Float32Array;
  readonly v: Float32Array;
  readonly mask: Int32Array;
  readonly dy: Float32Array;
}

/** Random inputs; sequence 0 begins with masked keys, so that its first rows attend to none, and has gaps. */
function draw({ b, t, s, g, m, d }: AttentionDims): Inputs {
  const mask = new Int32Array(b * s).fill(1);
  for (let j = 0; j < s && s > 4; j++) if (j < 3 || j % 5 === 0) mask[j] = 0;
  return {
    q: noise(b * t * g * m * d, 1).map((x) => 3 * x),
    k: noise(b * s * g * d, 2).map((x) => 3 * x),
    v: noise(b * s * g * d, 3),
    mask,
    dy: noise(b * t * g * m * d, 4),
  };
}

/** Runs every step on the GPU, each fed with the GPU's own earlier results. */
async function attend(profile: KernelProfile, dims: AttentionDims, scale: number, { q, k, v, mask, dy }: Inputs) {
  const { b, t, s, g, m, d } = dims;
  const [rows, keys] = [b * t * g * m, b * s * g];
  const run = (step: AttentionStep, inputs: (Float32Array | Int32Array)[], length: number): Promise<Float32Array> => {
    const plan = attentionPlan(profile, step, dims, scale);
    if (!plan) throw new Error("no plan");
    return runPlan(gpu, plan, inputs, length);
  };
  const forward = await run("forward", [q, k, v, mask], rows * d);
  const lse = await run("lse", [q, k, mask], rows);
  const delta = await run("delta", [dy, forward], rows);
  const all = [q, k, v, mask, lse, delta, dy];
  const dq = await run("dq", all, rows * d);
  const dk = await run("dk", all, keys * d);
  const dv = await run("dv", all, keys * d);
  return { forward, lse, delta, dq, dk, dv };
}

const CASES: readonly AttentionDims[] = [
  { b: 1, t: 1, s: 1, g: 1, m: 1, d: 1 },
  { b: 2, t: 7, s: 7, g: 2, m: 2, d: 8 },
  { b: 3, t: 8, s: 8, g: 1, m: 3, d: 5 },
  { b: 1, t: 63, s: 65, g: 2, m: 1, d: 7 },
  { b: 2, t: 64, s: 64, g: 1, m: 2, d: 64 },
  { b: 1, t: 65, s: 63, g: 1, m: 2, d: 12 },
  { b: 1, t: 1, s: 257, g: 2, m: 4, d: 16 },
  { b: 1, t: 255, s: 256, g: 1, m: 1, d: 4 },
  { b: 1, t: 9, s: 9, g: 1, m: 1, d: 72 },
  { b: 2, t: 3, s: 2, g: 3, m: 1, d: 31 },
];

describe.each(CASES)("attention $b x $t of $s, $g x $m heads of $d", (dims) => {
  it.each(Object.entries(FAMILIES))("agrees with f64 on %s", async (_, profile) => {
    const inputs = draw(dims);
    const scale = 1 / Math.sqrt(dims.d);
    const results = await attend(profile(), dims, scale, inputs);
    const expected = referenceAttention(dims, scale, inputs);
    for (const step of STEPS) {
      // f32 sums of up to a thousand terms, and exp of scores up to about 30 in size
      const allowed = 2e-5 * Math.max(1e-3, ...expected[step].map(Math.abs));
      const worst = results[step].findIndex((got, i) => !(Math.abs(got - expected[step][i]) <= allowed));
      expect(worst, `${step}: element ${worst} is ${results[step][worst]}, not ${expected[step][worst]}`).toBe(-1);
    }
  });
});

it("the f64 gradients are the slopes of the f64 forward", () => {
  const dims = { b: 2, t: 5, s: 6, g: 2, m: 2, d: 3 };
  const inputs = draw(dims);
  const { dy } = inputs;
  const gradients = referenceAttention(dims, 0.6, inputs);
  const loss = (changed: Record<string, Float64Array>): number =>
    referenceAttention(dims, 0.6, { ...inputs, ...changed }).forward.reduce((sum, y, i) => sum + y * dy[i], 0);
  for (const [name, step] of [["q", "dq"], ["k", "dk"], ["v", "dv"]] as const) {
    const direction = noise(inputs[name].length, 9);
    const along = (h: number): number => loss({ [name]: Float64Array.from(inputs[name], (x, i) => x + h * direction[i]) });
    const slope = gradients[step].reduce((sum, x, i) => sum + x * direction[i], 0);
    expect((along(1e-5) - along(-1e-5)) / 2e-5).toBeCloseTo(slope, 6);
  }
});

it("leaves heads that no lane can hold to the readable kernel", () => {
  expect(attentionPlan(FAMILIES["this device"](), "forward", { b: 1, t: 9, s: 9, g: 1, m: 1, d: 129 }, 1)).toBeNull();
});

it.each([
  { b: 0, t: 3, s: 3, g: 1, m: 1, d: 4 },
  { b: 1, t: 0, s: 3, g: 1, m: 1, d: 4 },
  { b: 1, t: 3, s: 0, g: 2, m: 2, d: 4 },
])("sizes of zero give zeros: $b x $t of $s, d $d", async (dims) => {
  const results = await attend(FAMILIES["this device"](), dims, 1, draw(dims));
  for (const step of STEPS.filter((name) => name !== "lse")) expect(results[step].every((x) => x === 0)).toBe(true);
});

// d = 3 and 4 take the two forms of every kernel.
describe.each([3, 4].flatMap((d) => Object.entries(FAMILIES).map(([name, profile]) => ({ d, name, profile }))))(
  "not finite, d $d on $name", ({ d, profile }) => {
  const dims = { b: 1, t: 9, s: 11, g: 2, m: 2, d };
  const rows = dims.t * dims.g * dims.m;
  const isOdd = (x: Float32Array, row: number): boolean => !x.subarray(row * d, (row + 1) * d).every(Number.isFinite);

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])("%d in q shows in its row alone", async (value) => {
    const inputs = draw(dims);
    inputs.q[20 * d + 1] = value;
    const { forward, lse, dq } = await attend(profile(), dims, 1, inputs);
    for (let row = 0; row < rows; row++) {
      expect([isOdd(forward, row), !Number.isFinite(lse[row]), isOdd(dq, row)]).toEqual(new Array(3).fill(row === 20));
    }
  });

  it.each([
    ["k", Number.NaN],
    ["k", Number.POSITIVE_INFINITY],
    ["v", Number.NaN],
    ["v", Number.POSITIVE_INFINITY],
  ] as const)("in %s it (%d) shows in the rows that attend to it", async (name, value) => {
    const inputs = draw(dims);
    const key = 7 * dims.g + 1;
    inputs[name][key * d] = value;
    const { forward, dq } = await attend(profile(), dims, 1, inputs);
    for (let row = 0; row < rows; row++) {
      const attends = keysOf(dims, inputs.mask, row).includes(key);
      expect([row, isOdd(forward, row), isOdd(dq, row)]).toEqual([row, attends, attends]);
    }
  });

  it("in dy it shows in the gradients of what its row attends to", async () => {
    const inputs = draw(dims);
    inputs.dy[20 * d] = Number.NaN;
    const { dq, dk, dv } = await attend(profile(), dims, 1, inputs);
    for (let row = 0; row < rows; row++) expect(isOdd(dq, row)).toBe(row === 20);
    const attended = keysOf(dims, inputs.mask, 20);
    for (let key = 0; key < dims.s * dims.g; key++) {
      expect([key, isOdd(dk, key), isOdd(dv, key)]).toEqual([key, attended.includes(key), attended.includes(key)]);
    }
  });

  it("in a masked key it shows nowhere", async () => {
    const inputs = draw(dims);
    for (const name of ["k", "v"] as const) inputs[name].fill(Number.NaN, 5 * dims.g * d, 6 * dims.g * d);
    const results = await attend(profile(), dims, 1, inputs);
    for (const step of STEPS) expect(results[step].every(Number.isFinite)).toBe(true);
  });
});
