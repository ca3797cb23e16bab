import { describe, expect, it } from "vitest";
import { type CausalLMInputs, type Linear, LlamaForCausalLM, Module } from "../../src/nn/index.ts";
import { linear, mul, tensor } from "../../src/ops/index.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { relativeError } from "./llama-golden.ts";
import { tinyConfig } from "./tiny-llama.ts";

const f64 = { seed: 5, dtype: "f64" } as const;
const ids = [
  [3, 1, 4, 1, 5, 9, 2, 6],
  [5, 3, 5, 8, 9, 7, 9, 3],
];

/** Rows of logits [time][vocab] of one row of a batch. */
async function logitRows(model: LlamaForCausalLM, inputs: CausalLMInputs, row: number): Promise<number[][]> {
  const { logits } = model.forward(inputs);
  const [, time, vocab] = logits.shape;
  const flat = Array.from(await logits.data());
  return Array.from({ length: time }, (_, t) =>
    flat.slice((row * time + t) * vocab, (row * time + t + 1) * vocab),
  );
}

async function lossAndGradients(
  model: LlamaForCausalLM,
  inputs: CausalLMInputs,
): Promise<{ loss: number; gradients: number[][] }> {
  const { loss } = model.forward(inputs);
  if (!loss) throw new Error("no loss");
  loss.backward();
  const gradients = await Promise.all(
    model.parameters().map(async ({ grad }) => Array.from(grad ? await grad.data() : [])),
  );
  model.zeroGrad();
  return { loss: await loss.item(), gradients };
}

describe("LlamaForCausalLM", () => {
  it("has the names and shapes of the checkpoint format", () => {
    const model = LlamaForCausalLM.fromConfig(
      tinyConfig({ attention_bias: true, mlp_bias: true, head_dim: 6 }),
      { seed: 1 },
    );
    const shapes = Object.fromEntries(
      [...model.stateDict()].map(([name, { shape }]) => [name, shape.join("×")]),
    );
    expect(Object.keys(shapes)).toHaveLength(1 + 2 * (8 + 6 + 2) + 1 + 1);
    expect(shapes).toMatchObject({
      "model.embed_tokens.weight": "23×16",
      "model.layers.1.self_attn.q_proj.weight": "24×16",
      "model.layers.1.self_attn.k_proj.weight": "12×16",
      "model.layers.1.self_attn.o_proj.weight": "16×24",
      "model.layers.1.self_attn.o_proj.bias": "16",
      "model.layers.1.mlp.down_proj.weight": "16×20",
      "model.layers.1.mlp.gate_proj.bias": "20",
      "model.layers.0.input_layernorm.weight": "16",
      "model.layers.0.post_attention_layernorm.weight": "16",
      "model.norm.weight": "16",
      "lm_head.weight": "23×16",
    });
  });

  it("starts from the seed, and leaves the global generator alone", async () => {
    const flat = async (model: LlamaForCausalLM): Promise<number[]> =>
      Array.from(await model.parameters()[1].data());
    const a = await flat(LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 7 }));
    const b = await flat(LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 7 }));
    const c = await flat(LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 8 }));
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
  });

  it("gives the same logits for a padded row, left or right, as for the row alone", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), f64);
    const row = ids[0].slice(0, 5);
    const alone = (await logitRows(model, { inputIds: [row] }, 0)).flat();
    const right = await logitRows(
      model,
      {
        inputIds: [ids[1], [...row, 0, 0, 0]],
        attentionMask: [
          [1, 1, 1, 1, 1, 1, 1, 1],
          [1, 1, 1, 1, 1, 0, 0, 0],
        ],
      },
      1,
    );
    expect(relativeError(right.slice(0, 5).flat(), alone)).toBeLessThan(1e-12);
    const left = await logitRows(
      model,
      {
        inputIds: [[0, 0, 0, ...row], ids[1]],
        attentionMask: [
          [0, 0, 0, 1, 1, 1, 1, 1],
          [1, 1, 1, 1, 1, 1, 1, 1],
        ],
      },
      0,
    );
    expect(relativeError(left.slice(3).flat(), alone)).toBeLessThan(1e-10);
    expect(left.slice(0, 3).flat().every(Number.isFinite)).toBe(true);
  });

  it("gives finite gradients with padding on both sides, equal to those of the rows alone", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), f64);
    const padded = await lossAndGradients(model, {
      inputIds: [[0, 0, 3, 1, 4, 0]],
      labels: [[-100, -100, 3, 1, 4, -100]],
      attentionMask: [[0, 0, 1, 1, 1, 0]],
    });
    // The label of the first real token would be predicted by padding.
    const masked = await lossAndGradients(model, {
      inputIds: [[0, 0, 3, 1, 4, 0]],
      labels: [[-100, -100, -100, 1, 4, -100]],
      attentionMask: [[0, 0, 1, 1, 1, 0]],
    });
    const alone = await lossAndGradients(model, { inputIds: [[3, 1, 4]], labels: [[-100, 1, 4]] });
    expect(Number.isFinite(padded.loss) && padded.gradients.flat().every(Number.isFinite)).toBe(true);
    expect(masked.loss).toBeCloseTo(alone.loss, 10);
    masked.gradients.forEach((gradient, i) => {
      expect(relativeError(gradient, alone.gradients[i])).toBeLessThan(1e-9);
    });
  });

  it("shares each key-value head between neighbouring query heads, as repeating its weights does", async () => {
    const grouped = LlamaForCausalLM.fromConfig(tinyConfig(), f64);
    const repeated = LlamaForCausalLM.fromConfig(tinyConfig({ num_key_value_heads: 4 }), f64);
    const state = new Map<string, Tensor>();
    for (const [name, weight] of grouped.stateDict()) {
      const isShared = /[kv]_proj/.test(name);
      const data = Array.from(await weight.data());
      // Two heads of 4 rows of 16: each twice.
      const values = isShared ? [0, 0, 1, 1].flatMap((head) => data.slice(head * 64, (head + 1) * 64)) : data;
      const shape = isShared ? [16, 16] : weight.shape;
      state.set(name, tensor(Float64Array.from(values), { shape }));
    }
    repeated.loadStateDict(state);
    const [a, b] = [
      await logitRows(grouped, { inputIds: ids }, 1),
      await logitRows(repeated, { inputIds: ids }, 1),
    ];
    expect(relativeError(a.flat(), b.flat())).toBeLessThan(1e-12);
  });

  it("accumulates both gradients of tied embeddings in one parameter", async () => {
    const tied = LlamaForCausalLM.fromConfig(tinyConfig({ tie_word_embeddings: true }), f64);
    const untied = LlamaForCausalLM.fromConfig(tinyConfig(), f64);
    untied.loadStateDict(tied.stateDict());
    expect(tied.numParameters()).toBe(untied.numParameters() - 23 * 16);
    const a = await lossAndGradients(tied, { inputIds: ids, labels: ids });
    const b = await lossAndGradients(untied, { inputIds: ids, labels: ids });
    expect(a.loss).toBe(b.loss);
    const head = b.gradients.at(-1) ?? [];
    expect(
      relativeError(
        a.gradients[0],
        b.gradients[0].map((value, i) => value + head[i]),
      ),
    ).toBeLessThan(1e-12);
  });

  it("has biases that matter when the configuration asks for them", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig({ attention_bias: true, mlp_bias: true }), f64);
    const { gradients } = await lossAndGradients(model, { inputIds: ids, labels: ids });
    const names = model.namedParameters().map(([name]) => name);
    names.forEach((name, i) => {
      // A bias of the keys shifts all scores of a query alike only without rotation.
      expect(Math.max(...gradients[i].map(Math.abs)), name).toBeGreaterThan(1e-8);
    });
  });

  it("recomputes layers with the same loss and gradients, also below frozen embeddings", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), f64);
    const inputs = {
      inputIds: ids,
      labels: ids,
      attentionMask: ids.map((row) => row.map((_, t) => (t < 7 ? 1 : 0))),
    };
    const check = async (): Promise<void> => {
      model.gradientCheckpointingDisable();
      const plain = await lossAndGradients(model, inputs);
      model.gradientCheckpointingEnable();
      expect(await lossAndGradients(model, inputs)).toEqual(plain);
    };
    await check();
    model.requiresGrad_(false);
    model.getSubmodule("model.layers.1").requiresGrad_();
    await check();
  });

  it("computes the loss as cross-entropy of the shifted logits, as mean or over numItemsInBatch", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), f64);
    const labels = [[-100, -100, 4, 1, 5, -100, 2, 6], ids[1]];
    let total = 0;
    let count = 0;
    for (let row = 0; row < 2; row++) {
      const logits = await logitRows(model, { inputIds: ids }, row);
      for (let t = 0; t + 1 < 8; t++) {
        if (labels[row][t + 1] === -100) continue;
        total += Math.log(logits[t].reduce((sum, v) => sum + Math.exp(v), 0)) - logits[t][labels[row][t + 1]];
        count++;
      }
    }
    expect(count).toBe(12);
    const mean = await model.forward({ inputIds: ids, labels }).loss?.item();
    expect(mean).toBeCloseTo(total / count, 12);
    const scaled = await model.forward({ inputIds: ids, labels, numItemsInBatch: 40 }).loss?.item();
    expect(scaled).toBeCloseTo(total / 40, 12);
  });

  it("takes tensors for rows", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), f64);
    const mask = ids.map((row) => row.map(() => 1));
    const asTensor = (rows: number[][]): Tensor => tensor(rows, { dtype: "i32" });
    const a = model.forward({ inputIds: ids, labels: ids });
    const b = model.forward({
      inputIds: asTensor(ids),
      labels: asTensor(ids),
      attentionMask: asTensor(mask),
    });
    expect(await b.loss?.item()).toBe(await a.loss?.item());
  });

  it.each([[[0, 1]], [[13]], [[2, 7, 8, 11]], [[0, 8]]])("leaves positions out of the loss that do not count (labels at %j)", async (kept) => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), f64);
    const labels = ids.map((row, b) => row.map((id, t) => (kept.includes(8 * b + t) ? id : -100)));
    const everywhere = await lossAndGradients(model, { inputIds: ids, labels: tensor(labels, { dtype: "i32" }) });
    const picked = await lossAndGradients(model, { inputIds: ids, labels });
    // The first token of a row predicts nothing of its own: [0, 8] leaves no label, and a mean of nothing.
    if (kept.join() === "0,8") expect([everywhere.loss, picked.loss]).toEqual([Number.NaN, Number.NaN]);
    else expect(picked.loss).toBeCloseTo(everywhere.loss, 12);
    for (const [i, slope] of picked.gradients.entries()) {
      expect(Math.max(0, ...slope.map((value, at) => Math.abs(value - everywhere.gradients[i][at])))).toBeLessThan(1e-12);
    }
  });

  it("takes what it has prepared of the same inputs", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), f64);
    const half = ids.map((row, b) => row.map((id, t) => (t % 3 === b ? id : -100)));
    for (const labels of [ids, half]) {
      const inputs = { inputIds: ids, labels, attentionMask: ids.map((row) => row.map((_, t) => (t < 7 ? 1 : 0))), numItemsInBatch: 5 };
      const prepared = model.prepare(inputs);
      expect(await model.forward(prepared).loss?.item()).toBeCloseTo((await model.forward(inputs).loss?.item()) ?? 0, 12);
    }
    expect(() => model.prepare({ inputIds: ids, labels: ids, numItemsInBatch: -1 })).toThrow("numItemsInBatch must be a number above 0, got -1");
  });

  it("uses a module put in the place of a projection or of the head", async () => {
    class Doubled extends Module {
      baseLayer: Linear;
      constructor(base: Linear) {
        super();
        this.baseLayer = base;
      }
      forward(x: Tensor): Tensor {
        return mul(linear(x, this.baseLayer.weight), 2);
      }
    }
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), f64);
    const before = await logitRows(model, { inputIds: ids }, 0);
    const first = await model.forward({ inputIds: ids, labels: ids }).loss?.item();
    model.setSubmodule("lm_head", new Doubled(model.getSubmodule("lm_head") as Linear));
    const after = await logitRows(model, { inputIds: ids }, 0);
    expect(
      relativeError(
        after.flat(),
        before.flat().map((v) => 2 * v),
      ),
    ).toBeLessThan(1e-12);
    expect(await model.forward({ inputIds: ids, labels: ids }).loss?.item()).not.toBe(first);
    const q = "model.layers.0.self_attn.q_proj";
    model.setSubmodule(q, new Doubled(model.getSubmodule(q) as Linear));
    expect(await logitRows(model, { inputIds: ids }, 0)).not.toEqual(after);
    expect(model.namedParameters().map(([name]) => name)).toContain(`${q}.base_layer.weight`);
  });

  it("computes positions beyond maxPositionEmbeddings", async () => {
    const short = LlamaForCausalLM.fromConfig(tinyConfig({ max_position_embeddings: 4 }), f64);
    const long = LlamaForCausalLM.fromConfig(tinyConfig(), f64);
    expect(await logitRows(short, { inputIds: ids }, 1)).toEqual(await logitRows(long, { inputIds: ids }, 1));
  });

  it("trains the head alone, with logits at hand", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), f64);
    const all = await lossAndGradients(model, { inputIds: ids, labels: ids });
    model.requiresGrad_(false).getSubmodule("lm_head").requiresGrad_();
    const { loss, logits } = model.forward({ inputIds: ids, labels: ids });
    expect(logits.shape).toEqual([2, 8, 23]);
    loss?.backward();
    const gradient = (await model.parameters().at(-1)?.grad?.data()) ?? [];
    expect(relativeError(gradient, all.gradients.at(-1) ?? [])).toBeLessThan(1e-14);
  });
});
