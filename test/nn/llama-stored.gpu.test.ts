import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DeloraConfig, getPeftModel } from "../../src/delora/index.ts";
import { LlamaForCausalLM } from "../../src/nn/index.ts";
import { closeDevice, currentGpu, init, noGrad } from "../../src/ops/index.ts";
import { useTestDriver } from "../driver.ts";
import { relativeError } from "./llama-golden.ts";
import { expectedBytes, parameterBytes, writeStored } from "./stored-checkpoint.ts";

let dir = "";
beforeAll(async () => {
  useTestDriver();
  await init({ device: "webgpu" });
  dir = await mkdtemp(join(tmpdir(), "polargrad-stored-"));
});
afterAll(async () => {
  await closeDevice();
  await rm(dir, { recursive: true });
});

const ids = [[3, 1, 4, 1, 5, 9]];
// So large that the sizes of buffers, in steps of 256 bytes and of a quarter, tell 2 bytes from 4.
const sizes = { vocab_size: 251, hidden_size: 64, intermediate_size: 96, tie_word_embeddings: true };
const logits = (model: LlamaForCausalLM): Promise<ArrayLike<number>> =>
  noGrad(() => model.forward({ inputIds: ids }).logits).data();
const liveBytes = (): number => currentGpu()?.ledger.live ?? 0;

describe.each(["q8_0", "q4_1"] as const)("a checkpoint loaded as %s on webgpu", (quantize) => {
  it("has the bits of the CPU there, takes a fraction of the bytes, and computes what its decoded weights do", async () => {
    await writeStored(dir, "bf16", sizes);
    const before = liveBytes();
    const model = await LlamaForCausalLM.fromPretrained(dir, { quantize });
    const taken = liveBytes() - before;
    const onCpu = await LlamaForCausalLM.fromPretrained(dir, { quantize, device: "cpu" });
    const bits = (from: LlamaForCausalLM) => Promise.all(from.parameters().map(({ storage }) => storage.read()));
    expect(await bits(model)).toEqual(await bits(onCpu));
    const plain = await LlamaForCausalLM.fromPretrained(dir, { dtype: "f32" });
    expect(taken / expectedBytes(plain).f32).toBeLessThan(quantize === "q8_0" ? 0.4 : 0.25);
    plain.loadStateDict(onCpu.stateDict());
    expect(await logits(model)).toEqual(await logits(plain));
    // From the CPU's f32 it is quantised, from the CPU's blocks copied.
    model.loadStateDict(onCpu.stateDict());
    expect(await bits(model)).toEqual(await bits(onCpu));
  });
});

describe.each(["f16", "bf16"] as const)("a checkpoint in %s on webgpu", (format) => {
  it("takes half the bytes of f32 there, and computes the same bits", async () => {
    await writeStored(dir, format, sizes);
    const bytes: number[] = [];
    const results: ArrayLike<number>[] = [];
    for (const dtype of ["auto", "f32"] as const) {
      const before = liveBytes();
      const model = await LlamaForCausalLM.fromPretrained(dir, { dtype });
      bytes.push(liveBytes() - before);
      const expected = expectedBytes(model);
      expect(await parameterBytes(model)).toBe(dtype === "auto" ? expected.stored : expected.f32);
      results.push(await logits(model));
      for (const parameter of model.parameters()) parameter.dispose();
    }
    expect(results[0]).toEqual(results[1]);
    expect(bytes[0] / bytes[1]).toBeLessThan(0.6);
  });

  it("moves between the devices bit for bit", async () => {
    await writeStored(dir, format, sizes);
    const model = await LlamaForCausalLM.fromPretrained(dir);
    const bits = await Promise.all(model.parameters().map(({ storage }) => storage.read()));
    const onGpu = await logits(model);
    await model.to("cpu");
    expect([model.device, model.parameters()[0].dtype]).toEqual(["cpu", format]);
    expect(await Promise.all(model.parameters().map(({ storage }) => storage.read()))).toEqual(bits);
    expect(relativeError(await logits(model), onGpu)).toBeLessThan(1e-5);
    await model.to("webgpu");
    expect(await logits(model)).toEqual(onGpu);
  });

  it("trains an adapter as on f32, and leaves no more buffers behind from step to step", async () => {
    await writeStored(dir, format, sizes);
    const config = new DeloraConfig({ r: 2, targetModules: ["q_proj", "down_proj"], initWeights: false });
    const models = await Promise.all(
      (["auto", "f32"] as const).map((dtype) => LlamaForCausalLM.fromPretrained(dir, { dtype })),
    );
    for (const model of models) getPeftModel(model, config);
    const [stored, plain] = models;
    const adapter = [...stored.stateDict()].filter(([name]) => name.includes("delora"));
    plain.loadStateDict(new Map(adapter), { strict: false });
    const step = async (model: LlamaForCausalLM): Promise<unknown[]> => {
      const { loss } = model.forward({ inputIds: ids, labels: ids });
      loss?.backward();
      const trained = model.parameters().filter(({ requiresGrad }) => requiresGrad);
      const found = [await loss?.item(), ...(await Promise.all(trained.map(({ grad }) => grad?.data())))];
      loss?.dispose();
      model.zeroGrad();
      return found;
    };
    expect(await step(stored)).toEqual(await step(plain));
    const live = currentGpu()?.ledger.liveBuffers;
    for (let i = 0; i < 3; i++) await step(stored);
    expect(currentGpu()?.ledger.liveBuffers).toBe(live);
  });
});
