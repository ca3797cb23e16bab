import fc, { type Arbitrary } from "fast-check";
import { vi } from "vitest";
import {
  add,
  checkpoint,
  full,
  gradients,
  manualSeed,
  matmul,
  mul,
  randn,
  reshape,
  sin,
  slice,
  sum,
  tanh,
  tidy,
  transpose,
} from "../../src/ops/index.ts";
import type { TypedArray } from "../../src/tensor/dtype.ts";
import { GraphError } from "../../src/tensor/errors.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import type { Device } from "../../src/tensor/storage.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

// 33 x 33 f32 are over the 4096 bytes from which CPU arrays are used again.
const SIDE = 33;

/** One step of a program; numbers choose among the values that are there, modulo their count. */
export type Step =
  | { readonly kind: "op"; readonly op: keyof typeof OPS; readonly a: number; readonly b: number }
  | { readonly kind: "constant"; readonly a: number }
  | { readonly kind: "assign"; readonly a: number }
  | { readonly kind: "scope"; readonly how: "tidy" | "checkpoint" | "throw"; readonly a: number; readonly steps: readonly Step[] }
  | { readonly kind: "backward"; readonly a: number; readonly retainGraph: boolean; readonly zero: boolean }
  | { readonly kind: "gradients"; readonly a: number; readonly b: number; readonly createGraph: boolean };

const SHAPE = [SIDE, SIDE];
const OPS = {
  add: (a: Tensor, b: Tensor) => add(a, b),
  mul: (a: Tensor, b: Tensor) => mul(tanh(a), b),
  matmul: (a: Tensor, b: Tensor) => mul(matmul(tanh(a), tanh(b)), 1 / SIDE),
  row: (a: Tensor, b: Tensor) => mul(a, tanh(slice(b, { end: 1 }))),
  sin: (a: Tensor) => sin(a),
  tanh: (a: Tensor) => tanh(a),
  view: (a: Tensor) => reshape(reshape(a, { shape: [-1] }), { shape: SHAPE }),
  transpose: (a: Tensor) => transpose(a),
  detach: (a: Tensor) => a.detach(),
};

const index = fc.nat({ max: 30 });
const { step } = fc.letrec<{ step: Step; steps: Step[] }>((tie) => ({
  steps: fc.array(tie("step"), { minLength: 1, maxLength: 5 }),
  step: fc.oneof(
    { maxDepth: 3 },
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant("op" as const),
        op: fc.constantFrom(...(Object.keys(OPS) as (keyof typeof OPS)[])),
        a: index,
        b: index,
      }),
    },
    { weight: 1, arbitrary: fc.oneof(
          fc.record({ kind: fc.constant("constant" as const), a: index }),
          fc.record({ kind: fc.constant("assign" as const), a: index }),
        ) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant("backward" as const), a: index, retainGraph: fc.boolean(), zero: fc.boolean() }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant("gradients" as const), a: index, b: index, createGraph: fc.boolean() }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("scope" as const),
        how: fc.constantFrom("tidy" as const, "checkpoint" as const, "throw" as const),
        a: index,
        steps: tie("steps"),
      }),
    },
  ),
}));

/** Random programs of ops, views, scopes, checkpoints, assignments and sweeps. */
export const programs: Arbitrary<Step[]> = fc.array(step, { minLength: 4, maxLength: 14 });

class Stop extends Error {}

/** One run of a program; every result is read at once, and compared when the program is over. */
class Run {
  readonly reads: Promise<TypedArray | string>[] = [];
  readonly leaves: readonly Tensor[];
  #quiet = false;

  constructor(device: Device) {
    manualSeed(1);
    const make = (): Tensor => tidy(() => mul(randn(SHAPE, { device }), 0.5));
    const parameter = (): Tensor => tidy(() => new Parameter(make()));
    this.leaves = [parameter(), parameter(), Object.assign(make(), { requiresGrad: true })];
  }

  /** Read a value now; not inside a checkpoint, which runs again in the sweep. */
  log(t: Tensor): Tensor {
    if (!this.#quiet) this.reads.push(t.data());
    return t;
  }

  #quietly<T>(f: () => T): T {
    const before = this.#quiet;
    this.#quiet = true;
    try {
      return f();
    } finally {
      this.#quiet = before;
    }
  }

  #attempt(f: () => void): void {
    try {
      f();
    } catch (error) {
      // A graph that an earlier sweep used up: the same in both runs.
      if (!(error instanceof GraphError)) throw error;
      this.reads.push(Promise.resolve(error.message));
    }
  }

  /** The values there are after these steps. */
  steps(steps: readonly Step[], known: readonly Tensor[]): Tensor[] {
    const values = [...known];
    const at = (k: number): Tensor => values[k % values.length];
    for (const s of steps) {
      if (s.kind === "op") values.push(this.log(OPS[s.op](at(s.a), at(s.b))));
      else if (s.kind === "constant") values.push(full(SHAPE, (s.a % 5) / 4, { device: this.leaves[0].device }));
      else if (s.kind === "assign") (this.leaves[s.a % 2] as Parameter).assign(sin(this.leaves[(s.a + 1) % 3]));
      else if (s.kind === "scope") this.#scope(s, values);
      else this.#attempt(() => this.#sweep(s, values, at));
    }
    return values;
  }

  #scope({ how, a, steps }: Step & { kind: "scope" }, values: Tensor[]): void {
    const last = values.at(-1 - (a % values.length)) as Tensor;
    if (how === "tidy") values.push(...tidy(() => this.steps(steps, values).slice(-2)));
    else if (how === "throw") {
      try {
        tidy(() => {
          this.steps(steps, values);
          throw new Stop();
        });
      } catch (error) {
        if (!(error instanceof Stop)) throw error;
      }
    } else {
      // What a checkpoint runs again must not sweep or assign; it may capture everything.
      const pure = steps.filter((s) => s.kind === "op" || s.kind === "constant");
      const known = [...values];
      values.push(this.log(checkpoint((x: Tensor) => this.#quietly(() => this.steps(pure, [...known, x]).at(-1) as Tensor), last)));
    }
  }

  #sweep(s: Step & { kind: "backward" | "gradients" }, values: Tensor[], at: (k: number) => Tensor): void {
    const root = sum(at(s.a));
    if (!root.requiresGrad) return;
    if (s.kind === "gradients") {
      const wrt = [at(s.b), ...this.leaves].filter((t) => t.requiresGrad);
      values.push(...gradients(root, wrt, { createGraph: s.createGraph }).map((g) => this.log(g)).filter((g) => g.rank === 2));
      return;
    }
    root.backward({ retainGraph: s.retainGraph });
    for (const leaf of this.leaves) {
      if (leaf.grad) this.log(leaf.grad);
      if (s.zero) this.zero(leaf);
    }
  }

  zero(leaf: Tensor): void {
    leaf.grad?.dispose();
    leaf.grad = null;
  }
}

/** Run a program and give all that it read. With `freeing` off no memory is ever let go or used again. */
export async function runProgram(program: readonly Step[], device: Device, freeing: boolean): Promise<(TypedArray | string)[]> {
  const dispose = freeing ? null : vi.spyOn(Tensor.prototype, "dispose").mockImplementation(() => undefined);
  try {
    const run = new Run(device);
    tidy(() => {
      run.steps(program, run.leaves);
      for (const leaf of run.leaves) run.log(leaf);
    });
    for (const leaf of run.leaves) {
      run.zero(leaf);
      leaf.dispose();
    }
    return await Promise.all(run.reads);
  } finally {
    dispose?.mockRestore();
  }
}
