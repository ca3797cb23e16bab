import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generate, LlamaForCausalLM } from "../../src/nn/index.ts";
import { closeDevice, currentGpu, init, noGrad } from "../../src/ops/index.ts";
import { useTestDriver } from "../driver.ts";
import { relativeError } from "./llama-golden.ts";
import { tinyConfig } from "./tiny-llama.ts";

const ids = [
  [3, 1, 4, 1, 5, 9, 2, 6],
  [5, 3, 5, 8, 9, 7, 0, 0],
];
const attentionMask = [
  [1, 1, 1, 1, 1, 1, 1, 1],
  [1, 1, 1, 1, 1, 1, 0, 0],
];
const liveBuffers = (): number => currentGpu()?.ledger.liveBuffers ?? 0;

beforeAll(async () => {
  useTestDriver();
  await init({ device: "webgpu" });
});
afterAll(closeDevice);

describe("a Llama on webgpu", () => {
  it("starts with the weights of the CPU, and moves there and back", async () => {
    const onGpu = LlamaForCausalLM.fromConfig(tinyConfig({ tie_word_embeddings: true }), { seed: 3 });
    const onCpu = LlamaForCausalLM.fromConfig(tinyConfig({ tie_word_embeddings: true }), {
      seed: 3,
      device: "cpu",
    });
    expect([onGpu.device, onCpu.device]).toEqual(["webgpu", "cpu"]);
    const logits = async (model: LlamaForCausalLM): Promise<ArrayLike<number>> =>
      noGrad(() => model.forward({ inputIds: ids, attentionMask })).logits.data();
    const expected = await logits(onCpu);
    expect(relativeError(await logits(onGpu), expected)).toBeLessThan(1e-5);
    const before = liveBuffers();
    onCpu.forward({ inputIds: ids, labels: ids }).loss?.backward();
    await onCpu.to("webgpu");
    expect(
      onCpu.parameters().every(({ device, grad }) => device === "webgpu" && grad?.device === "webgpu"),
    ).toBe(true);
    expect(onCpu.parameters()).toHaveLength(20);
    expect(relativeError(await logits(onCpu), expected)).toBeLessThan(1e-5);
    onCpu.zeroGrad();
    await onCpu.to("cpu");
    expect(await logits(onCpu)).toEqual(expected);
    expect(liveBuffers()).toBeLessThanOrEqual(before + 8);
  });

  it("loads a state dict from the CPU", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 3 });
    const other = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 4, device: "cpu" });
    model.loadStateDict(other.stateDict());
    expect(model.device).toBe("webgpu");
    expect(await model.parameters()[3].data()).toEqual(await other.parameters()[3].data());
    expect(() => other.loadStateDict(model.stateDict())).toThrow(
      '"model.embed_tokens.weight" is on webgpu but its module on cpu; move it first',
    );
  });

  it("generates the tokens of the CPU", async () => {
    const config = tinyConfig({ eos_token_id: null });
    const onGpu = LlamaForCausalLM.fromConfig(config, { seed: 3 }).eval();
    const onCpu = LlamaForCausalLM.fromConfig(config, { seed: 3, device: "cpu" }).eval();
    for (const options of [{}, { doSample: true, seed: 8 }]) {
      expect(await generate(onGpu, [3, 1, 4], { maxNewTokens: 12, ...options })).toEqual(
        await generate(onCpu, [3, 1, 4], { maxNewTokens: 12, ...options }),
      );
    }
  });

  it.each([false, true])(
    "keeps as many buffers alive from step to step and token to token (recompute: %s)",
    async (recompute) => {
      const model = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 3 });
      if (recompute) model.gradientCheckpointingEnable();
      const live = new Set<number>();
      for (let step = 0; step < 4; step++) {
        const { loss } = model.forward({ inputIds: ids, labels: ids, attentionMask });
        loss?.backward();
        await loss?.item();
        loss?.dispose();
        model.zeroGrad();
        await generate(model, [3, 1, 4], { maxNewTokens: 3 });
        if (step > 0) live.add(liveBuffers());
      }
      expect(live.size).toBe(1);
    },
  );
});
