import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { add, defineOp } from "../../src/ops/index.ts";
import { planOp } from "../../src/tensor/op-plan.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { describeCall } from "../../src/testing/calls.ts";
import { callsOf, type OpCall } from "../../src/testing/index.ts";
import { seedFor, testSeed } from "../../src/testing/random.ts";

const grouped = defineOp(
  "grouped",
  "q[b, t, g*m, d], k[b, c+t, g, d], mask[b, c+t]:bool, ids[b]:i32 -> y[b, t, g*m, d]",
  {
    attrs: { eps: [1e-5, [0.25, 0.5]], mode: { default: "mean" } },
    domain: { k: [1, 3], ids: ({ d }: { readonly d: number }): [number, number] => [0, d - 1] },
    check: ({ d }) => (d === 0 ? "d must not be 0" : null),
    reference() {},
  },
);

const sample = (
  op: Parameters<typeof callsOf>[0],
  options: Parameters<typeof callsOf>[1],
  count = 60,
): OpCall[] => fc.sample(callsOf(op, options), { seed: 3, numRuns: count });

describe("callsOf", () => {
  it("satisfies signatures with products and sums, and knows the output shape", () => {
    for (const call of sample(grouped, {}))
      expect(planOp(grouped.spec, call.inputs.map(({ shape }) => shape), call.attrs).output).toEqual(call.expected);
  });

  it("draws values in their domain and attributes in their range", () => {
    for (const { inputs, attrs } of sample(grouped, {})) {
      const [q, k, mask, ids] = inputs;
      expect(q.values.every((v) => v >= -2 && v <= 2)).toBe(true);
      expect(k.values.every((v) => v >= 1 && v <= 3)).toBe(true);
      expect(mask.values.every((v) => v === 0 || v === 1)).toBe(true);
      expect(ids.values.every((v) => Number.isInteger(v) && v >= 0 && v < q.shape[3])).toBe(true);
      expect(attrs.eps).toBeGreaterThanOrEqual(0.25);
      expect(attrs.eps).toBeLessThanOrEqual(0.5);
      expect(attrs.mode).toBe("mean");
    }
  });

  it("has the kind that was asked for", () => {
    const has = (
      kind: "ones" | "empty" | "repeated" | "broadcast" | "edge",
      test: (call: OpCall) => boolean,
    ): number => sample(add, { kind, edge: 65 }).filter(test).length;
    expect(has("empty", ({ inputs }) => inputs.every(({ shape }) => sizeOf(shape) === 0))).toBe(60);
    expect(has("edge", ({ inputs }) => inputs.every(({ shape }) => shape.includes(65)))).toBe(60);
    expect(has("repeated", ({ inputs: [, b] }) => b.sameAs === 0)).toBe(60);
    expect(has("ones", ({ inputs: [a] }) => a.shape.includes(1))).toBeGreaterThan(20);
    const bent = has("broadcast", ({ inputs: [a, b] }) => a.shape.join() !== b.shape.join());
    const shorter = has("broadcast", ({ inputs: [a, b] }) => a.shape.length !== b.shape.length);
    expect(bent).toBeGreaterThan(20);
    expect(shorter).toBeGreaterThan(5);
  });

  it("gives up on a declaration that no call satisfies, and says what to do", () => {
    const impossible = defineOp("impossible", "x[d] -> y[d]", { check: () => "never", reference() {} });
    expect(() => fc.sample(callsOf(impossible), 1)).toThrow("impossible: no legal call");
    const shapeless = defineOp("shapeless", "x[...] -> y[...]", { shape: ({ x }) => x, reference() {} });
    expect(() => fc.sample(callsOf(shapeless), 1)).toThrow("needs a draw");
  });

  it("prints calls", () => {
    expect(describeCall(sample(add, { kind: "repeated" }, 1)[0])).toMatch(
      /^add\(a [^,]*.*, b = a, \{\}\) \(repeated, seed \d+\)$/,
    );
    expect(fc.stringify(sample(add, {}, 1)[0])).toMatch(/^add\(a /);
  });
});

describe("seeds", () => {
  afterEach(() => vi.unstubAllEnvs());

  it("come from the call, else POLARGRAD_SEED, else a constant", () => {
    vi.stubEnv("POLARGRAD_SEED", "");
    const byDefault = testSeed();
    expect(testSeed()).toBe(byDefault);
    vi.stubEnv("POLARGRAD_SEED", "12");
    expect([testSeed(), testSeed(5)]).toEqual([12, 5]);
    vi.stubEnv("POLARGRAD_SEED", "twelve");
    expect(() => testSeed()).toThrow('POLARGRAD_SEED must be an integer, got "twelve"');
  });

  it("differ between ops", () => {
    expect(seedFor(1, "add")).not.toBe(seedFor(1, "mul"));
    expect(seedFor(1, "add")).not.toBe(seedFor(2, "add"));
  });
});
