import { describe, expect, it } from "vitest";
import { LlamaForCausalLM } from "../../src/nn/index.ts";
import { noGrad, tidy } from "../../src/ops/index.ts";
import { liveCpuStorages } from "../../src/tensor/cpu-storage.ts";
import { DisposedError } from "../../src/tensor/errors.ts";
import { tinyConfig } from "./tiny-llama.ts";

const ids = [
  [3, 1, 4, 1, 5, 9, 2, 6],
  [5, 3, 5, 8, 9, 7, 9, 3],
];

describe("the memory of a Llama", () => {
  it("leaves nothing behind: steps with a backward, evaluation, reading logits", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig({ tie_word_embeddings: true }), { seed: 1 });
    const step = async (recompute: boolean): Promise<void> => {
      if (recompute) model.gradientCheckpointingEnable();
      else model.gradientCheckpointingDisable();
      const { loss } = model.forward({ inputIds: ids, labels: ids });
      loss?.backward();
      await loss?.item();
      loss?.dispose();
      const evaluated = noGrad(() => tidy(() => model.forward({ inputIds: ids, labels: ids }).loss));
      await evaluated?.item();
      evaluated?.dispose();
      const { logits } = noGrad(() => tidy(() => ({ logits: model.forward({ inputIds: ids }).logits })));
      logits.dispose();
    };
    await step(false);
    const live = liveCpuStorages();
    for (const recompute of [false, true, true, false]) await step(recompute);
    expect(liveCpuStorages()).toBe(live);
  });

  it("grows its rope tables without breaking the graph of a shorter sequence", () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 1 });
    const short = model.forward({ inputIds: [[1, 2]], labels: [[1, 2]] }).loss;
    const long = model.forward({ inputIds: ids, labels: ids }).loss;
    short?.backward();
    long?.backward();
    expect(model.parameters().every(({ grad }) => grad !== null)).toBe(true);
  });

  it("says when logits can no longer be computed, and records as forward did", () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 1 });
    const output = model.forward({ inputIds: ids, labels: ids });
    output.loss?.backward();
    expect(() => output.logits).toThrow(DisposedError);
    expect(() => output.logits).toThrow("read logits before loss.backward()");
    const silent = noGrad(() => model.forward({ inputIds: ids, labels: ids }));
    expect(silent.logits.requiresGrad).toBe(false);
    expect(silent.logits).toBe(silent.logits);
    expect(model.forward({ inputIds: ids }).logits.requiresGrad).toBe(true);
  });
});
