import { describe, expect, it } from "vitest";
import { add, CaptureError, dropout, mul, tensor } from "../../src/ops/index.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { keep } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { counting, device, row, useGpu, valuesOf } from "./captured.ts";

useGpu();

describe("a function that cannot be captured is refused at its fourth run, with the reason", () => {
  const refusal = async (f: (x: Tensor) => readonly Tensor[]): Promise<string> => {
    const { call } = counting(f);
    for (let i = 0; i < 3; i++) await valuesOf(call(row(1, 2)));
    try {
      call(row(1, 2));
    } catch (error) {
      expect(error).toBeInstanceOf(CaptureError);
      return (error as Error).message;
    }
    throw new Error("it was not refused");
  };

  it("for a number that changes", async () => {
    let step = 0;
    expect(await refusal((x) => [mul(x, tensor([step++], { device }))])).toMatch(/a number in the upload of f32 \(step 1\) changed.*hostTensor/);
    expect(await refusal((x) => [dropout(x, { p: 0.5, seed: step++ })])).toMatch(/a number in dropout \(step 1\) changed/);
  });

  it("for other work", async () => {
    let step = 0;
    expect(await refusal((x) => [step++ % 2 === 0 ? mul(x, x) : add(x, x)])).toMatch(/step 1 was (mul|add), then (mul|add)/);
  });

  it("for a tensor that it keeps", async () => {
    const kept: Tensor[] = [];
    expect(await refusal((x) => {
      kept.push(keep(mul(x, 2)));
      return [x];
    })).toMatch(/it keeps mul of 8 bytes/);
    expect(await valuesOf(kept)).toEqual([[2, 4], [2, 4], [2, 4], [2, 4]]);
  });

  it("for a parameter that it replaces", async () => {
    const weight = new Parameter(row(1, 2));
    const message = await refusal((x) => {
      const next = mul(weight, 2);
      weight.assign(next);
      return [add(x, weight)];
    });
    expect(message).toMatch(/it (keeps|replaces) mul of 8 bytes/);
    expect([...(await weight.data())]).toEqual([16, 32]);
    weight.dispose();
  });

  it("and at once when it reads", async () => {
    const reads: Promise<unknown>[] = [];
    const { call } = counting((x: Tensor) => {
      reads.push(mul(x, 2).data().catch((error: Error) => error.message));
      return [x];
    });
    call(row(1));
    expect(await Promise.all(reads)).toEqual(["a captured function cannot read a tensor; return it, and read what the function gives"]);
  });
});
