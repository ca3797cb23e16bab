import { describe, expect, it } from "vitest";
import {
  add,
  defineOp,
  grad,
  gradients,
  mul,
  noGrad,
  sum,
  tensor,
} from "../../src/ops/index.ts";
import { GraphError } from "../../src/tensor/errors.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

const leaf = (values: number[], shape: number[] = [values.length]): Tensor =>
  tensor(values, { shape, dtype: "f64", requiresGrad: true });
const gradOf = (t: Tensor): number[] => [...(t.grad?.dataSync() ?? [])];
const square = (t: Tensor): Tensor => mul(t, t);

describe("backward", () => {
  it("accumulates into .grad, call after call and path after path", () => {
    const x = leaf([1, 2]);
    sum(square(x)).backward();
    expect(gradOf(x)).toEqual([2, 4]);
    sum(add(mul(x, 3), mul(x, 10))).backward();
    expect(gradOf(x)).toEqual([15, 17]);
  });

  it("takes a cotangent for a tensor that is no scalar", () => {
    const x = leaf([1, 2]);
    square(x).backward({ gradient: tensor([10, 100], { dtype: "f64" }) });
    expect(gradOf(x)).toEqual([20, 400]);
    expect(() => square(x).backward()).toThrow("reduce it to a scalar");
    expect(() => square(x).backward({ gradient: tensor([1], { dtype: "f64" }) })).toThrow(GraphError);
    expect(() => x.backward({ gradient: tensor([1, 1]) })).toThrow("gradient is f32 on cpu, the tensor f64 on cpu");
  });

  it("refuses a graph that an earlier backward freed, unless it was retained", () => {
    const x = leaf([3]);
    const y = square(x);
    y.backward({ retainGraph: true });
    y.backward();
    expect(gradOf(x)).toEqual([12]);
    expect(() => y.backward()).toThrow(GraphError);
    expect(() => y.backward()).toThrow("retainGraph");
  });

  it("refuses a part of the graph that was freed through another root", () => {
    const x = leaf([3]);
    const shared = square(x);
    sum(mul(shared, 2)).backward();
    expect(() => sum(mul(shared, 3)).backward()).toThrow(GraphError);
  });

  it("says so when nothing was recorded", () => {
    expect(() => tensor([1]).backward()).toThrow("nothing was recorded");
    const x = leaf([1]);
    expect(() => noGrad(() => square(x)).backward()).toThrow("noGrad");
  });

  it("refuses a parameter that was assigned after forward", () => {
    const w = new Parameter(tensor([2], { dtype: "f64" }));
    const y = sum(square(w));
    w.assign(tensor([5], { dtype: "f64" }));
    expect(() => y.backward()).toThrow("assigned after");
    expect(w.grad).toBeNull();
    sum(square(w)).backward();
    expect(gradOf(w)).toEqual([10]);
  });

  it("lets an assigned parameter go that the op's branch does not reach", () => {
    const w = new Parameter(tensor([2], { dtype: "f64" }));
    const x = leaf([7]);
    const y = sum(square(x));
    w.assign(tensor([3], { dtype: "f64" }));
    y.backward();
    expect(gradOf(x)).toEqual([14]);
  });

  it("gives two leaves of an add their own gradients", () => {
    const a = leaf([1, 2]);
    const b = leaf([3, 4]);
    sum(add(a, b)).backward();
    expect(a.grad).not.toBe(b.grad);
    a.grad?.dispose();
    expect(gradOf(b)).toEqual([1, 1]);
    sum(mul(b, 5)).backward();
    expect(gradOf(b)).toEqual([6, 6]);
  });

  it("does not hand the caller's cotangent out as a gradient", () => {
    const a = leaf([1]);
    const b = leaf([2]);
    const dy = tensor([1], { dtype: "f64" });
    add(a, b).backward({ gradient: dy });
    a.grad?.dispose();
    expect([...dy.dataSync()]).toEqual([1]);
    expect(gradOf(b)).toEqual([1]);
  });

  it("adds up repeated inputs", () => {
    const x = leaf([3]);
    mul(x, x).backward();
    expect(gradOf(x)).toEqual([6]);
    const z = leaf([3]);
    add(z, z).backward();
    expect(gradOf(z)).toEqual([2]);
    const parts = add(mul(z, z), mul(z, mul(z, z)));
    expect([...gradients(parts, [z])[0].dataSync()]).toEqual([6 + 27]);
  });

  it("undoes broadcasting", () => {
    const row = leaf([1, 2, 3], [1, 3]);
    const column = leaf([1, 2], [2, 1]);
    const scalar = leaf([4], []);
    sum(mul(mul(row, column), scalar)).backward();
    expect([gradOf(row), row.grad?.shape]).toEqual([
      [12, 12, 12],
      [1, 3],
    ]);
    expect([gradOf(column), column.grad?.shape]).toEqual([
      [24, 24],
      [2, 1],
    ]);
    expect([gradOf(scalar), scalar.grad?.shape]).toEqual([[18], []]);
  });

  it("stops at detach", () => {
    const x = leaf([3]);
    mul(x, square(x).detach()).backward();
    expect(gradOf(x)).toEqual([9]);
    expect(x.detach().requiresGrad).toBe(false);
  });

  it("walks a chain of 20,000 ops without recursion", () => {
    const x = leaf([1]);
    let y = x;
    for (let i = 0; i < 20_000; i++) y = add(y, x);
    y.backward();
    expect(gradOf(x)).toEqual([20_001]);
  });

  it("can use a graph with numbers in it after any amount of other numbers", () => {
    const x = leaf([1]);
    const y = mul(x, 0.5);
    const c = tensor([1], { dtype: "f64" });
    for (let i = 0; i < 600; i++) mul(c, i + 0.125).dispose();
    y.backward();
    expect(gradOf(x)).toEqual([0.5]);
  });

  it("computes only the cotangents that somebody needs", () => {
    const asked: string[] = [];
    const spy = defineOp("spy", "a[*], b[*] -> y[*]", {
      reference({ a, b }, y) {
        for (let i = 0; i < y.length; i++) y[i] = a[i] + b[i];
      },
      vjp: (_inputs, dy) => ({
        a: () => {
          asked.push("a");
          return dy;
        },
        b: () => {
          asked.push("b");
          return dy;
        },
      }),
    });
    const a = leaf([1]);
    const constant = tensor([2], { dtype: "f64" });
    spy(a, constant).backward();
    expect(asked).toEqual(["a"]);
    gradients(spy(leaf([1]), a), [a]);
    expect(asked).toEqual(["a", "b"]);
  });

  it("names the op whose declaration has no gradient", () => {
    const mute = defineOp("mute", "x[*] -> y[*]", { reference: ({ x }, y) => y.set(x) });
    expect(() => mute(leaf([1])).backward()).toThrow("mute: it has no gradient");
    const half = defineOp("half", "a[*], b[*] -> y[*]", {
      reference: ({ a }, y) => y.set(a),
      vjp: (_inputs, dy) => ({ a: () => dy }),
    });
    expect(() => half(tensor([1], { dtype: "f64" }), leaf([1])).backward()).toThrow(
      "gives no gradient for b",
    );
  });

  it("names the op whose gradient has the wrong shape", () => {
    const wide = defineOp("wide", "x[*, d] -> y[*, d]", {
      reference: ({ x }, y) => y.set(x),
      vjp: (_inputs, dy) => ({ x: () => sum(dy) }),
    });
    expect(() => wide(leaf([1, 2])).backward({ gradient: tensor([1, 1], { dtype: "f64" }) })).toThrow(
      /wide: its gradient .* shape/,
    );
  });
});

describe("gradients and grad", () => {
  it("leaves .grad alone and gives zeros where there is no dependence", () => {
    const x = leaf([2]);
    const other = leaf([5, 6]);
    const [dx, none] = gradients(square(x), [x, other]);
    expect([...dx.dataSync()]).toEqual([4]);
    expect([[...none.dataSync()], none.shape]).toEqual([[0, 0], [2]]);
    expect(x.grad).toBeNull();
  });

  it("differentiates by an intermediate", () => {
    const x = leaf([3]);
    const y = square(x);
    const z = mul(y, y);
    expect(gradients(z, [y, x]).map((g) => [...g.dataSync()])).toEqual([[18], [108]]);
  });

  it("differentiates by the output itself, and by a leaf behind another target", () => {
    const x = leaf([3]);
    const y = square(x);
    expect(gradients(y, [x, y]).map((g) => [...g.dataSync()])).toEqual([[6], [1]]);
  });

  it("refuses an input that requires no gradient", () => {
    const x = leaf([3]);
    expect(() => gradients(square(x), [x, tensor([1])])).toThrow("gradients: input 1 of shape 1 does not require");
  });

  it("follows argnums", () => {
    const f = (a: Tensor, b: Tensor): Tensor => sum(mul(square(a), b));
    const [a, b] = [tensor([2], { dtype: "f64" }), tensor([3], { dtype: "f64" })];
    expect(grad(f)(a, b).dataSync()[0]).toBe(12);
    expect(grad(f, { argnums: 1 })(a, b).dataSync()[0]).toBe(4);
    expect(grad(f, { argnums: [1, 0] })(a, b).map((g) => g.dataSync()[0])).toEqual([4, 12]);
    expect(a.requiresGrad).toBe(false);
    expect(() => grad(f, { argnums: 2 })(a, b)).toThrow("grad: argument 2 must be a tensor");
  });

  it("takes one tensor in two places apart", () => {
    const f = (a: Tensor, b: Tensor): Tensor => sum(mul(square(a), b));
    for (const x of [tensor([3], { dtype: "f64" }), leaf([3])])
      expect(grad(f, { argnums: [0, 1] })(x, x).map((g) => g.dataSync()[0])).toEqual([18, 9]);
  });

  it("nests: the second and third derivative of x⁴", () => {
    const f = (x: Tensor): Tensor => square(square(x));
    const x = tensor(2, { dtype: "f64" });
    expect(grad(f)(x).dataSync()[0]).toBe(32);
    expect(grad(grad(f))(x).dataSync()[0]).toBe(48);
    expect(grad(grad(grad(f)))(x).dataSync()[0]).toBe(48);
    expect(grad(grad(grad(grad(f))))(x).dataSync()[0]).toBe(24);
  });

  it("is zero for a function that does not depend on its argument", () => {
    const c = tensor([7], { dtype: "f64" });
    expect(grad((_x: Tensor) => sum(c))(tensor([1], { dtype: "f64" })).dataSync()[0]).toBe(0);
    expect(grad(grad((x: Tensor) => sum(mul(x, 3))))(tensor(1, { dtype: "f64" })).dataSync()[0]).toBe(0);
  });

  it("works inside noGrad", () => {
    expect(noGrad(() => grad(square)(tensor(3, { dtype: "f64" }))).dataSync()[0]).toBe(6);
  });
});
