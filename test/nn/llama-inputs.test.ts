import { describe, expect, it } from "vitest";
import { type CausalLMInputs, LlamaForCausalLM } from "../../src/nn/index.ts";
import { tensor } from "../../src/ops/index.ts";
import { tinyConfig } from "./tiny-llama.ts";

describe("LlamaForCausalLM.forward", () => {
  it.each([
    [{ inputIds: [] }, "forward: inputIds must be at least one row of at least one id, got 0×0"],
    [{ inputIds: [[], []] }, "forward: inputIds must be at least one row of at least one id, got 2×0"],
    [
      { inputIds: [[1, 2], [3]] },
      "forward: inputIds[1] must be of length 2 like the first row, got 1; pad the rows to one length and pass an attentionMask",
    ],
    [
      { inputIds: [[1, 23]] },
      "forward: inputIds[0][1] must be an id from 0 to 22 (the vocabulary has 23), got 23",
    ],
    [
      { inputIds: [[1], [-1]] },
      "forward: inputIds[1][0] must be an id from 0 to 22 (the vocabulary has 23), got -1",
    ],
    [
      { inputIds: [[1.5]] },
      "forward: inputIds[0][0] must be an id from 0 to 22 (the vocabulary has 23), got 1.5",
    ],
    [{ inputIds: [[1, 2]], labels: [[1]] }, "forward: labels must be 1×2 like inputIds, got 1×1"],
    [
      { inputIds: [[1, 2]], labels: [[1, -1]] },
      "forward: labels[0][1] must be -100 or an id from 0 to 22 (the vocabulary has 23), got -1",
    ],
    [
      { inputIds: [[1, 2]], attentionMask: [[1, 2]] },
      "forward: attentionMask[0][1] must be 0 (padding) or 1 (a token), got 2",
    ],
    [
      { inputIds: [[1, 2]], attentionMask: [[1, 1, 1]] },
      "forward: attentionMask must be 1×2 like inputIds, got 1×3",
    ],
    [
      { inputIds: [[1, 2]], labels: [[1, 2]], numItemsInBatch: 0 },
      "forward: numItemsInBatch must be a number above 0, got 0",
    ],
  ] satisfies [CausalLMInputs, string][])("refuses %j", (inputs, message) => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 1 });
    expect(() => model.forward(inputs)).toThrow(message);
  });

  it("refuses a flat row and tensors of wrong values", () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 1 });
    expect(() => model.forward({ inputIds: [1, 2] as unknown as number[][] })).toThrow(
      "got Array of number; wrap a single row: [row]",
    );
    expect(() => model.forward({ inputIds: [["1"]] as unknown as number[][] })).toThrow("got 1 (a string)");
    expect(() => model.forward({ inputIds: tensor([[1, 2]]) })).toThrow(
      "a tensor [batch, time] of i32, got Tensor(1×2, f32, cpu)",
    );
    expect(() =>
      model.forward({
        inputIds: tensor(
          [
            [1, 2],
            [3, 99],
          ],
          { dtype: "i32" },
        ),
      }),
    ).toThrow("inputIds[1][1] must be an id");
  });

  it("takes rows of Int32Array", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 1 });
    const typed = model.forward({ inputIds: [Int32Array.of(1, 2)], labels: [Int32Array.of(1, 2)] });
    const plain = model.forward({ inputIds: [[1, 2]], labels: [[1, 2]] });
    expect(await typed.loss?.item()).toBe(await plain.loss?.item());
  });

  it("gives the padding token's embedding no gradient, as transformers", async () => {
    const model = LlamaForCausalLM.fromConfig({ ...tinyConfig(), padTokenId: 3, tieWordEmbeddings: false }, { seed: 1 });
    model.forward({ inputIds: [[3, 1, 2]], labels: [[3, 1, 2]] }).loss?.backward();
    const embedding = model.parameters()[0];
    const gradient = await embedding.grad?.data();
    const row = (id: number): number[] => [...(gradient ?? [])].slice(id * embedding.shape[1], (id + 1) * embedding.shape[1]);
    expect(row(3).every((value) => value === 0)).toBe(true);
    expect(row(1).some((value) => value !== 0)).toBe(true);
  });
});
