import { afterEach, describe, expect, it, vi } from "vitest";
import { gemm, gemmVariant } from "../../src/cpu/gemm.ts";
import { GEMM_MODES, gemmFault } from "../../src/cpu/check-gemm.ts";
import type { Gemm, GemmMode } from "../../src/cpu/gemm-types.ts";
import { loopGemm } from "../../src/cpu/loops.ts";
import { chooseKernels, VARIANTS } from "../../src/cpu/variants.ts";
import { ArgumentError, DeviceError } from "../../src/tensor/errors.ts";

type Size = readonly [m: number, n: number, k: number];

/** Around the tiles (4, 8, 16), the cached rows (96), the panel depth (288) and the blocks (1024). */
const SIZES: readonly Size[] = [
  [1, 1, 1], [1, 17, 5], [9, 1, 3], [3, 4, 1], [4, 8, 4], [5, 9, 7], [4, 16, 8], [7, 15, 16], [8, 17, 3],
  [16, 16, 16], [95, 16, 5], [97, 33, 9], [193, 7, 2], [3, 5, 287], [6, 18, 288], [5, 16, 289], [4, 9, 577],
  [2, 3, 4097], [1025, 2, 3], [2, 1025, 3], [1023, 1, 2], [1, 2049, 4], [64, 64, 64], [33, 66, 99],
];
const RANDOM_SIZES = 12;
const SEED = 20250101;

const variants = VARIANTS.map(({ name, create }) => ({ name, run: create("gemm")?.gemm }));
for (const { name, run } of variants) {
  if (run) continue;
  console.warn(`gemm variant "${name}" is not tested: Node ${process.version}, ${process.arch} cannot run it`);
}
const runnable = variants.flatMap(({ name, run }) => (run ? [{ name, run }] : []));

/** A linear congruential generator over [0, 1). */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function values(length: number, random: () => number): Float32Array {
  return Float32Array.from({ length }, () => random() * 2 - 1);
}

/** The largest error of `out` relative to `Σ|terms|`, against an f64 triple loop. */
function worstError(
  mode: GemmMode, [m, n, k]: Size,
  a: Float32Array, b: Float32Array, start: Float32Array | null, out: Float32Array,
): number {
  let worst = 0;
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = start ? start[i * n + j] : 0;
      let size = Math.abs(sum);
      for (let p = 0; p < k; p++) {
        const term = a[mode === "TN" ? p * m + i : i * k + p] * b[mode === "NT" ? j * k + p : p * n + j];
        sum += term;
        size += Math.abs(term);
      }
      const error = Math.abs(out[i * n + j] - sum) / (size || 1);
      worst = Math.max(worst, error);
    }
  }
  return worst;
}

/** Roundings that a chain of k f32 multiply-adds may make. */
const bound = (k: number): number => (k + 2) * 2 ** -24;

describe.each(runnable)("the product of variant $name", ({ run }) => {
  it.each(GEMM_MODES)("%s agrees with an f64 triple loop", (mode) => {
    const random = generator(SEED);
    const drawn = Array.from({ length: RANDOM_SIZES }, (): Size => [
      1 + Math.floor(random() * 130), 1 + Math.floor(random() * 130), 1 + Math.floor(random() * 320),
    ]);
    for (const size of [...SIZES, ...drawn]) {
      const [m, n, k] = size;
      const [a, b, start] = [values(m * k, random), values(k * n, random), values(m * n, random)];
      for (const accumulate of [false, true]) {
        const out = start.slice();
        run(mode, m, n, k, a, b, out, accumulate);
        const error = worstError(mode, size, a, b, accumulate ? start : null, out);
        const label = `${mode} ${size.join("x")} accumulate=${accumulate} seed=${SEED}`;
        expect(error, label).toBeLessThanOrEqual(bound(k));
      }
    }
  });

  it("reads and writes views inside larger buffers, and nothing beside them", () => {
    const random = generator(7);
    const [m, n, k] = [21, 45, 67];
    const view = (length: number): Float32Array => values(length + 9, random).subarray(3, length + 3);
    const [a, b, out] = [view(m * k), view(k * n), view(m * n)];
    const frame = new Float32Array(out.buffer).slice();
    for (const mode of GEMM_MODES) {
      run(mode, m, n, k, a, b, out, false);
      expect(worstError(mode, [m, n, k], a, b, null, out)).toBeLessThanOrEqual(bound(k));
    }
    const after = new Float32Array(out.buffer);
    for (const at of [0, 1, 2, m * n + 3, m * n + 8]) expect(after[at]).toBe(frame[at]);
  });

  it("carries NaN and infinity to exactly the elements that they meet", () => {
    const [m, n, k] = [9, 19, 31];
    for (const mode of GEMM_MODES) {
      const [a, b] = [new Float32Array(m * k), new Float32Array(k * n).fill(1)];
      const at = (i: number, p: number): number => (mode === "TN" ? p * m + i : i * k + p);
      a[at(2, 5)] = Number.NaN;
      a[at(4, 30)] = Number.POSITIVE_INFINITY;
      const out = new Float32Array(m * n);
      run(mode, m, n, k, a, b, out, false);
      const expected = (i: number): number => ({ 2: Number.NaN, 4: Number.POSITIVE_INFINITY })[i] ?? 0;
      for (const [index, value] of out.entries()) {
        expect(value, `${mode} ${index}`).toBe(expected(Math.floor(index / n)));
      }
      b.fill(0);
      run(mode, m, n, k, a, b, out, false);
      expect(out[4 * n], "infinity times zero").toBeNaN();
      run(mode, 5, 7, 3, a.subarray(0, 15).fill(1), b.subarray(0, 21).fill(1), out.subarray(0, 35), false);
      expect(out.subarray(0, 35).every((value) => value === 3), "after NaN in the scratch memory").toBe(true);
    }
  });

  it("passes the self-check", () => {
    expect(gemmFault(run)).toBeNull();
  });
});

describe("gemm", () => {
  it("multiplies empty matrices", () => {
    const none = new Float32Array(0);
    const out = Float32Array.of(1, 2, 3, 4);
    gemm("NN", 0, 3, 2, none, new Float32Array(6), none);
    gemm("NT", 2, 0, 3, new Float32Array(6), none, none);
    gemm("TN", 2, 2, 0, none, none, out, { accumulate: true });
    expect([...out]).toEqual([1, 2, 3, 4]);
    gemm("TN", 2, 2, 0, none, none, out);
    expect([...out]).toEqual([0, 0, 0, 0]);
  });

  it.each(GEMM_MODES)("%s is right on both sides of the tiny-size limit", (mode) => {
    const random = generator(3);
    for (const size of [[3, 5, 7], [10, 10, 10], [11, 10, 10], [40, 30, 20]] as const) {
      const [m, n, k] = size;
      const [a, b, start] = [values(m * k, random), values(k * n, random), values(m * n, random)];
      const out = start.slice();
      gemm(mode, m, n, k, a, b, out, { accumulate: true });
      expect(worstError(mode, size, a, b, start, out)).toBeLessThanOrEqual(bound(k));
    }
  });

  it("refuses wrong sizes, wrong lengths and an output that overlaps an input", () => {
    const four = new Float32Array(4);
    const wrong = (m: number, k: number, out: Float32Array) => () =>
      gemm("NN", m, 2, k, four, four.slice(), out);
    expect(wrong(2.5, 2, four.slice())).toThrow("gemm: m must be an integer from 0, got 2.5");
    expect(wrong(-1, 2, four.slice())).toThrow(ArgumentError);
    expect(wrong(2, 3, four.slice())).toThrow("gemm: a must be of 6 elements (2 · 3), got 4");
    expect(wrong(2, 2, new Float32Array(5))).toThrow("gemm: out must be of 4 elements (2 · 2), got 5");
    expect(wrong(2, 2, four)).toThrow("gemm: out must be apart from a and b");
  });

  it("names a variant that this engine runs", () => {
    expect(runnable.map(({ name }) => name)).toContain(gemmVariant());
  });

});

describe("the self-check", () => {
  const right = runnable[0].run;
  /** A product with one planted error. */
  const planted: Readonly<Record<string, Gemm>> = {
    "last element off by 1e-3": (mode, m, n, k, a, b, out, accumulate) => {
      right(mode, m, n, k, a, b, out, accumulate);
      out[m * n - 1] += 1e-3;
    },
    "one element is NaN": (mode, m, n, k, a, b, out, accumulate) => {
      right(mode, m, n, k, a, b, out, accumulate);
      out[0] = Number.NaN;
    },
    "accumulate is ignored": (mode, m, n, k, a, b, out) => right(mode, m, n, k, a, b, out, false),
    "the last step of the depth is lost": (mode, m, n, k, a, b, out, accumulate) => {
      const cut = mode === "TN" ? a.slice() : a.map((x, i) => (i % k === k - 1 ? 0 : x));
      if (mode === "TN") cut.fill(0, (k - 1) * m);
      right(mode, m, n, k, cut, b, out, accumulate);
    },
    "NT is taken for NN": (mode, m, n, k, a, b, out, accumulate) =>
      right(mode === "NT" ? "NN" : mode, m, n, k, a, b, out, accumulate),
    "A is not transposed": (mode, m, n, k, a, b, out, accumulate) =>
      right(mode === "TN" ? "NN" : mode, m, n, k, a, b, out, accumulate),
  };

  it.each(Object.keys(planted))("finds the planted error: %s", (name) => {
    expect(gemmFault(planted[name])).toMatch(/^(NN|NT|TN).* 5x19x301: element \(\d+, \d+\) is .*, not /);
  });

  it("drops a wrong variant with a warning, and takes the next", () => {
    const warn = vi.fn();
    const wrong = { name: "relaxed", create: () => ({ gemm: planted["one element is NaN"], engine: null }) } as const;
    const good = { name: "off", create: () => ({ gemm: loopGemm, engine: null }) } as const;
    expect(chooseKernels(undefined, [wrong, good], warn).name).toBe("off");
    expect(warn).toHaveBeenCalledOnce();
    expect(warn.mock.calls[0][0]).toContain('variant "relaxed" give wrong results here and are not used: NN');
    expect(() => chooseKernels("relaxed", [wrong, good], warn)).toThrow(DeviceError);
    expect(() => chooseKernels(undefined, [wrong], warn)).toThrow(DeviceError);
  });
});

describe("the choice of a variant", () => {
  const spin = (milliseconds: number): Gemm => (mode, m, n, k, a, b, out, accumulate) => {
    const end = performance.now() + milliseconds;
    loopGemm(mode, m, n, k, a, b, out, accumulate);
    while (performance.now() < end);
  };

  afterEach(() => vi.unstubAllEnvs());

  it("skips what the engine cannot run, and refuses it where it is forced", () => {
    const absent = { name: "256", create: () => null, gain: 1.3 } as const;
    const good = { name: "off", create: () => ({ gemm: loopGemm, engine: null }) } as const;
    expect(chooseKernels(undefined, [absent, good]).name).toBe("off");
    expect(() => chooseKernels("256", [absent, good])).toThrow("POLARGRAD_SIMD=256 cannot run in this engine");
  });

  it("takes a variant with a gain only where it is that much faster than the next", () => {
    const fast = { name: "256", create: () => ({ gemm: loopGemm, engine: null }), gain: 1.3 } as const;
    const slow = { name: "relaxed", create: () => ({ gemm: spin(15), engine: null }) } as const;
    expect(chooseKernels(undefined, [fast, slow]).name).toBe("256");
    const next = { name: "off", create: () => ({ gemm: loopGemm, engine: null }) } as const;
    expect(chooseKernels(undefined, [{ ...slow, gain: 1.3 }, next]).name).toBe("off");
    expect(chooseKernels(undefined, [fast]).name).toBe("256");
  });

  it.each(runnable)("obeys POLARGRAD_SIMD=$name", async ({ name }) => {
    vi.stubEnv("POLARGRAD_SIMD", name);
    vi.resetModules();
    const fresh = await import("../../src/cpu/gemm.ts");
    expect(fresh.gemmVariant()).toBe(name);
  });

  it("refuses an unknown name", () => {
    const law = 'the CPU: POLARGRAD_SIMD must be one of 256, relaxed, 128, off, got "512"';
    expect(() => chooseKernels("512")).toThrow(law);
  });
});
