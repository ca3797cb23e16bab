import { beforeEach, describe, expect, it } from "vitest";
import { add, checkpoint, defineOp, gradients, mul, reshape, sum, tensor, tidy } from "../../src/ops/index.ts";
import { liveCpuStorages } from "../../src/tensor/cpu-storage.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { keep } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

const x = tensor([1, 2, 3], { requiresGrad: true });
let before = 0;
const added = (): number => liveCpuStorages() - before;

beforeEach(() => {
  mul(x, 2).dispose();
  x.grad?.dispose();
  x.grad = null;
  before = liveCpuStorages();
});

describe("tidy", () => {
  it("frees everything but the result", () => {
    const c = tensor([1, 2, 3]);
    const y = tidy(() => add(mul(c, c), mul(c, 2)));
    expect(added()).toBe(2);
    expect([...y.dataSync()]).toEqual([3, 8, 15]);
    y.dispose();
    c.dispose();
    expect(added()).toBe(0);
  });

  it("keeps what is returned in arrays, objects and maps", () => {
    const { list, table } = tidy(() => ({
      list: [tensor(1), tensor(2)],
      table: new Map([["three", tensor(3)]]),
      number: 4,
    }));
    expect(added()).toBe(3);
    for (const t of [...list, ...table.values()]) t.dispose();
    expect(added()).toBe(0);
  });

  it("keeps what the graph of the result needs, until backward has used it", () => {
    const loss = tidy(() => sum(mul(mul(x, x), x)));
    expect(added()).toBeGreaterThan(1);
    loss.backward();
    loss.dispose();
    expect(added()).toBe(1);
    expect([...(x.grad?.dataSync() ?? [])]).toEqual([3, 12, 27]);
  });

  it("frees at once what no gradient reads, and keeps its shape and dtype", () => {
    const c = tensor([1, 1, 2]);
    const { loss, inner } = tidy(() => {
      const moved = add(mul(x, c), c);
      return { loss: sum(reshape(add(moved, mul(moved, 2)), { shape: [3, 1] })), inner: [() => moved] };
    });
    const moved = inner[0]();
    expect([moved.disposed, moved.shape, moved.dtype, moved.device]).toEqual([true, [3], "f32", "cpu"]);
    expect(added()).toBe(2);
    loss.backward({ retainGraph: true });
    loss.backward();
    expect([...(x.grad?.dataSync() ?? [])]).toEqual([6, 6, 12]);
    for (const t of [loss, c]) t.dispose();
    expect(added()).toBe(1);
  });

  it("keeps what second derivatives read", () => {
    const y = tidy(() => sum(mul(mul(add(x, 0), add(x, 0)), add(x, 0))));
    const [dx] = gradients(y, [x], { createGraph: true });
    const [xx] = gradients(sum(dx), [x]);
    expect([...xx.dataSync()]).toEqual([6, 12, 18]);
    for (const t of [y, dx, xx]) t.dispose();
  });

  it("gives no gradient to what required none when it was used", () => {
    const w = tensor([1, 1, 1]);
    const loss = tidy(() => sum(mul(add(x, 0), w)));
    w.requiresGrad = true;
    loss.backward();
    expect(w.grad).toBe(null);
    expect([...(x.grad?.dataSync() ?? [])]).toEqual([1, 1, 1]);
    for (const t of [loss, w]) t.dispose();
  });

  it("keeps what two returned graphs share until both were used", () => {
    const [a, b] = tidy(() => {
      const c = tensor([1, 1, 2]);
      const shared = mul(x, c);
      return [sum(mul(shared, c)), sum(mul(mul(x, c), shared.detach()))];
    });
    a.backward();
    b.backward();
    expect([...(x.grad?.dataSync() ?? [])]).toEqual([2, 3, 16]);
    a.dispose();
    b.dispose();
    expect(added()).toBe(1);
  });

  it("keeps a value that another graph takes as a constant", () => {
    const w = tensor([1, 1, 1], { requiresGrad: true });
    const [a, b] = tidy(() => {
      const h = mul(x, x);
      return [sum(mul(h, 2)), sum(mul(h, w))];
    });
    a.backward();
    const [dw] = gradients(b, [w]);
    expect([...dw.dataSync()]).toEqual([1, 4, 9]);
    for (const t of [a, b, dw, w]) t.dispose();
    expect(added()).toBe(1);
  });

  it("leaves a training step's count constant", () => {
    const w = new Parameter(tensor([1, 1, 1]));
    const step = (): void =>
      tidy(() => {
        sum(mul(mul(x, w), mul(x, w))).backward();
        w.assign(add(w, mul(w.grad as Tensor, -0.01)));
        w.grad?.dispose();
        w.grad = null;
        x.grad?.dispose();
        x.grad = null;
      });
    step();
    const after = liveCpuStorages();
    for (let i = 0; i < 10; i++) step();
    expect(liveCpuStorages()).toBe(after);
  });

  it("holds .grad of a leaf from inside", () => {
    tidy(() => sum(mul(x, x)).backward());
    expect([...(x.grad?.dataSync() ?? [])]).toEqual([2, 4, 6]);
    expect(added()).toBe(1);
  });

  it("frees what an exception leaves behind, in the sweep too", () => {
    expect(() =>
      tidy(() => {
        mul(x, x);
        throw new Error("inside");
      }),
    ).toThrow("inside");
    expect(added()).toBe(0);
    const w = tidy(() => new Parameter(tensor([1, 1, 1])));
    const held = liveCpuStorages();
    expect(() =>
      tidy(() => {
        const loss = sum(mul(mul(x, w), 2));
        w.assign(tensor([2, 2, 2]));
        loss.backward();
      }),
    ).toThrow("assigned after");
    expect(liveCpuStorages()).toBe(held);
  });

  it("frees what a sweep had in flight when a gradient throws", () => {
    const failing = defineOp("failing", "x[*] -> y[*]", {
      reference: ({ x: from }, y) => y.set(from),
      vjp: () => ({
        x: () => {
          throw new Error("no memory");
        },
      }),
    });
    const loss = tidy(() => add(sum(mul(x, 2)), sum(mul(failing(mul(x, 3)), mul(x, x)))));
    expect(() => tidy(() => loss.backward())).toThrow("no memory");
    expect(x.grad).toBeNull();
    const held = added();
    expect(() => tidy(() => sum(mul(failing(x), mul(x, x))).backward())).toThrow("no memory");
    expect(added()).toBe(held);
  });

  it("frees the sweep of second derivatives", () => {
    tidy(() => {
      const [dx] = gradients(sum(mul(mul(x, x), x)), [x], { createGraph: true });
      gradients(sum(dx), [x]);
    });
    expect(added()).toBe(0);
  });

  it("frees a checkpointed step", () => {
    tidy(() => {
      const [dx] = gradients(sum(checkpoint((t: Tensor) => mul(mul(t, t), t), x)), [x]);
      expect([...dx.dataSync()]).toEqual([3, 12, 27]);
    });
    expect(added()).toBe(0);
  });

  it("nests: the inner result belongs to the outer scope", () => {
    tidy(() => {
      const inner = tidy(() => mul(x, 2));
      expect(inner.disposed).toBe(false);
    });
    expect(added()).toBe(0);
  });

  it("does not free what keep() took out, nor parameters", () => {
    const kept = tidy(() => {
      const t = keep(tensor([1]));
      new Parameter(tensor([2]));
      return { get: () => t };
    });
    expect(kept.get().disposed).toBe(false);
    expect(added()).toBe(2);
  });

  it("refuses an async function", () => {
    expect(() => tidy(() => Promise.resolve(1))).toThrow("synchronous");
  });

  it("explains the use of a freed tensor", () => {
    let escaped: Tensor | undefined;
    tidy(() => {
      escaped = mul(x, 2);
    });
    expect(() => mul(escaped as Tensor, 2)).toThrow("tidy()");
  });
});
