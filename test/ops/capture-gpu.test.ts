import { describe, expect, it } from "vitest";
import { add, dropout, hostTensor, linear, manualSeed, mul, rand, sum, tensor, tidy, transpose } from "../../src/ops/index.ts";
import { nextStream } from "../../src/tensor/generator.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { AdamW, clipGradients } from "../../src/train/index.ts";
import { counting, device, open, row, useGpu, valuesOf } from "./captured.ts";

useGpu();

describe("a captured function", () => {
  it("is replayed from the third call on, with its arguments of then", async () => {
    const { call, runs } = counting((x: Tensor, y: Tensor) => [add(mul(x, y), 1), sum(x)]);
    for (let i = 0; i < 6; i++) {
      expect(await valuesOf(call(row(i, 2, 3), row(10, 20, i)))).toEqual([[10 * i + 1, 41, 3 * i + 1], [i + 5]]);
      expect(runs()).toBe(Math.min(i + 1, 2));
    }
  });

  it("gives results that later calls leave alone", async () => {
    const { call } = counting((x: Tensor) => [mul(x, 2)]);
    const results = Array.from({ length: 6 }, (_, i) => call(row(i, -i))[0]);
    expect(await valuesOf(results)).toEqual([0, 1, 2, 3, 4, 5].map((i) => [2 * i, -2 * i]));
  });

  it("differentiates as the function itself does, with the weights of then", async () => {
    const weight = new Parameter(tensor([[1, 2], [3, 4]], { device }));
    const step = (x: Tensor): readonly Tensor[] => {
      const loss = sum(mul(linear(x, weight), linear(x, weight)));
      loss.backward();
      const slope = weight.grad as Tensor;
      weight.grad = null;
      return [loss, slope];
    };
    const { call, runs } = counting(step);
    for (let i = 1; i < 6; i++) {
      const x = tensor([[i, 1], [0.5, -i]], { device });
      const direct = tidy(() => step(x).map((result) => result.detach()));
      const expected = await valuesOf(direct);
      expect(await valuesOf(call(x))).toEqual(expected);
    }
    expect(runs()).toBe(2);
    weight.dispose();
  });

  it("is captured for each shape of its arguments", async () => {
    const { call, runs } = counting((x: Tensor) => [sum(x)]);
    for (let i = 0; i < 4; i++) {
      for (const length of [1, 5, 300]) {
        const x = tensor(new Float32Array(length).fill(i), { device });
        expect(await valuesOf(call(x))).toEqual([[i * length]]);
        x.dispose();
      }
    }
    expect(runs()).toBe(6);
  });

  it("draws random numbers that go on from call to call", async () => {
    const noisy = (x: Tensor): readonly Tensor[] => [dropout(x, { p: 0.5, ...nextStream() }), dropout(x, { p: 0.3, ...nextStream() })];
    const x = tensor(new Float32Array(64).fill(1), { device });
    const direct: number[][][] = [];
    for (let i = 0; i < 5; i++) direct.push(await valuesOf(noisy(x)));
    manualSeed(7);
    const { call, runs } = counting(noisy);
    const replayed: number[][][] = [];
    for (let i = 0; i < 5; i++) replayed.push(await valuesOf(call(x)));
    expect(replayed).toEqual(direct);
    expect(runs()).toBe(2);
    expect(new Set(direct.map((one) => one.join())).size).toBe(5);
    manualSeed(8);
    const other = await valuesOf(noisy(x));
    manualSeed(8);
    expect(await valuesOf(call(x))).toEqual(other);
  });

  it("takes numbers of the host anew through hostTensor, in calls that wait for nothing", async () => {
    let rate = 0;
    const { call, runs } = counting((x: Tensor) => [mul(x, hostTensor(() => Float32Array.of(rate), { shape: [1], device }))]);
    const results: Tensor[] = [];
    for (rate = 1; rate < 7; rate++) results.push(call(row(1, 10))[0]);
    expect(await valuesOf(results)).toEqual([1, 2, 3, 4, 5, 6].map((i) => [i, 10 * i]));
    expect(runs()).toBe(2);
  });

  it("uploads constants of the host again where their buffer is used twice", async () => {
    const { call, runs } = counting((x: Tensor) => {
      const first = tidy(() => sum(mul(x, tensor([1, 2, 3], { device }))));
      return [first, mul(x, tensor([4, 5, 6], { device }))];
    });
    for (let i = 1; i < 5; i++) expect(await valuesOf(call(row(i, i, i)))).toEqual([[6 * i], [4 * i, 5 * i, 6 * i]]);
    expect(runs()).toBe(2);
  });

  it("makes no buffers, bind groups and pipelines once it is replayed", async () => {
    const { call } = counting((x: Tensor) => [sum(mul(add(x, 1), x))]);
    const counts = (): unknown => ({ ...open().pool.counts, ...open().stream.counts, dispatches: 0, submits: 0 });
    const x = row(1, 2, 3);
    for (let i = 0; i < 4; i++) await valuesOf(call(x));
    const before = counts();
    const { dispatches, submits } = open().stream.counts;
    for (let i = 0; i < 20; i++) await valuesOf(call(x));
    expect(counts()).toEqual(before);
    expect(open().stream.counts.submits - submits).toBe(20);
    expect((open().stream.counts.dispatches - dispatches) % 20).toBe(0);
  });

  it("shares its memory with other captured functions, and with nobody else", async () => {
    const first = counting((x: Tensor) => [sum(mul(x, x))]);
    const second = counting((x: Tensor) => [sum(add(mul(x, 3), 1))]);
    for (let i = 1; i < 6; i++) {
      const strangers = Array.from({ length: 8 }, (_, k) => row(k, i, k));
      expect(await valuesOf([...first.call(row(i, 1, 1)), ...second.call(row(i, 0, 0))])).toEqual([[i * i + 2], [3 * i + 3]]);
      expect(await valuesOf(strangers)).toEqual([0, 1, 2, 3, 4, 5, 6, 7].map((k) => [k, i, k]));
    }
    expect([first.runs(), second.runs()]).toEqual([2, 2]);
  });

  it("is captured anew when its memory was taken or a tensor it read has moved", async () => {
    const weight = new Parameter(row(1, 2));
    const { call, runs } = counting((x: Tensor) => [mul(x, weight)]);
    for (let i = 0; i < 3; i++) await valuesOf(call(row(1, 1)));
    open().pool.trim();
    expect(await valuesOf(call(row(1, 1)))).toEqual([[1, 2]]);
    expect(runs()).toBe(3);
    for (let i = 0; i < 3; i++) await valuesOf(call(row(1, 1)));
    expect(runs()).toBe(4);
    const next = row(5, 6);
    weight.assign(next);
    next.dispose();
    for (let i = 1; i < 5; i++) expect(await valuesOf(call(row(i, 1)))).toEqual([[5 * i, 6]]);
    expect(runs()).toBe(6);
    weight.dispose();
  });

  it("is captured later when memory runs short while it runs", async () => {
    let isShort = true;
    const { call, runs } = counting((x: Tensor) => {
      const y = mul(x, 2);
      if (isShort) open().pool.trim();
      return [add(y, 1)];
    });
    for (let i = 0; i < 3; i++) expect(await valuesOf(call(row(i)))).toEqual([[2 * i + 1]]);
    isShort = false;
    for (let i = 0; i < 4; i++) expect(await valuesOf(call(row(i)))).toEqual([[2 * i + 1]]);
    expect(runs()).toBeLessThan(6);
  });

  it("runs inside another one as a part of it", async () => {
    const inner = counting((x: Tensor) => [mul(x, 2)]);
    const { call, runs } = counting((x: Tensor) => [add(inner.call(x)[0], 1)]);
    for (let i = 0; i < 5; i++) expect(await valuesOf(call(row(i)))).toEqual([[2 * i + 1]]);
    expect([runs(), inner.runs()]).toEqual([2, 2]);
  });

  it("passes errors on, and works afterwards", async () => {
    let fails = true;
    const { call } = counting((x: Tensor) => {
      const y = mul(x, 2);
      if (fails) throw new Error("not yet");
      return [y];
    });
    expect(() => call(row(1))).toThrow("not yet");
    fails = false;
    for (let i = 0; i < 4; i++) expect(await valuesOf(call(row(i)))).toEqual([[2 * i]]);
  });

  it("trains as the function itself does: AdamW's step counts, moments and learning rate go on", async () => {
    const train = async (captures: boolean): Promise<number[][]> => {
      manualSeed(3);
      const weights = [new Parameter(rand([3, 4], { device })), new Parameter(rand([4], { device }))];
      const optimizer = new AdamW([{ params: [weights[0]], lr: 0.1, weightDecay: 0.1 }, { params: [weights[1]], lr: 0.3, betas: [0.5, 0.9] }]);
      const step = (x: Tensor): readonly Tensor[] => {
        const loss = tidy(() => sum(mul(add(linear(dropout(x, { p: 0.2, ...nextStream() }), transpose(weights[0])), weights[1]), 0.3)));
        loss.backward();
        clipGradients(weights, 0.5)?.dispose();
        optimizer.step();
        optimizer.zeroGrad();
        return [loss];
      };
      const { call, runs } = counting(step);
      const losses: number[] = [];
      for (let i = 0; i < 9; i++) {
        optimizer.paramGroups[0].lr = 0.1 / (1 + i);
        const [loss] = captures ? call(row(1, i, -2)) : step(row(1, i, -2));
        losses.push(await loss.item());
        loss.dispose();
      }
      if (captures) expect(runs()).toBeLessThan(5);
      const values = await Promise.all(weights.map(async (weight) => [...(await weight.data())]));
      for (const weight of weights) weight.dispose();
      optimizer.dispose();
      return [losses, ...values];
    };
    expect(await train(true)).toEqual(await train(false));
  });

  it("changes parameters in a way that older graphs notice, when it is replayed too", async () => {
    const weight = new Parameter(row(1, 2));
    const optimizer = new AdamW([weight]);
    const { call, runs } = counting((x: Tensor) => {
      const loss = sum(mul(x, weight));
      loss.backward();
      optimizer.step();
      optimizer.zeroGrad();
      return [loss];
    });
    for (let i = 0; i < 5; i++) await valuesOf(call(row(i, 1)));
    const before = runs();
    const older = sum(mul(weight, weight));
    await valuesOf(call(row(1, 1)));
    expect(runs()).toBe(before);
    expect(() => older.backward()).toThrow("was assigned after mul had used it");
    optimizer.dispose();
    weight.dispose();
  });

  it("leaves alone what else holds the elements of a parameter that it changes", async () => {
    const weight = new Parameter(row(1, 2));
    const optimizer = new AdamW([weight], { lr: 0.5, weightDecay: 0 });
    const { call } = counting((x: Tensor) => {
      const loss = sum(mul(x, weight));
      loss.backward();
      optimizer.step();
      optimizer.zeroGrad();
      return [loss];
    });
    const snapshots: { readonly held: Tensor; readonly values: number[] }[] = [];
    for (let i = 0; i < 12; i++) {
      await valuesOf(call(row(1, -1)));
      if (i % 5 === 4) snapshots.push({ held: weight.detach(), values: [...(await weight.data())] });
    }
    for (const { held, values } of snapshots) {
      expect([...(await held.data())]).toEqual(values);
      held.dispose();
    }
    expect((await weight.data())[0]).toBeCloseTo(1 - 12 * 0.5, 4);
    optimizer.dispose();
    weight.dispose();
  });

  it("runs each time on the CPU", async () => {
    const { call, runs } = counting((x: Tensor) => [mul(x, 2)]);
    for (let i = 0; i < 4; i++) expect(await valuesOf(call(tensor([i], { device: "cpu" })))).toEqual([[2 * i]]);
    expect(runs()).toBe(4);
  });
});
