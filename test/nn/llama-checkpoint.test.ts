import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { parseSafetensors, serializeSafetensors } from "../../src/io/index.ts";
import { Linear, LlamaForCausalLM, Module, StateDictError } from "../../src/nn/index.ts";
import { liveCpuStorages } from "../../src/tensor/cpu-storage.ts";
import { sharedPath } from "../shared.ts";
import { relativeError } from "./llama-golden.ts";
import { tinyConfig } from "./tiny-llama.ts";

type Tensors = Map<
  string,
  { dtype: "F32" | "F16" | "BF16" | "I64"; shape: readonly number[]; data: ArrayBufferView }
>;

let dir = "";
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "polargrad-nn-"));
});
afterEach(() => rm(dir, { recursive: true }));

const ids = [[3, 1, 4, 1, 5, 9]];
const logits = async (model: LlamaForCausalLM): Promise<number[]> =>
  Array.from(await model.forward({ inputIds: ids }).logits.data());

/** Save a tiny model, change its tensors and configuration, and load it again. */
async function edited(
  change: { tensors?: (all: Tensors) => void; config?: Record<string, unknown> },
  overrides = {},
): Promise<LlamaForCausalLM> {
  await LlamaForCausalLM.fromConfig(tinyConfig(overrides), { seed: 4 }).savePretrained(dir);
  const weights = join(dir, "model.safetensors");
  const tensors = parseSafetensors(await readFile(weights)).tensors as Tensors;
  change.tensors?.(tensors);
  await writeFile(weights, serializeSafetensors(tensors));
  const config = JSON.parse(await readFile(join(dir, "config.json"), "utf8"));
  await writeFile(join(dir, "config.json"), JSON.stringify({ ...config, ...change.config }));
  return LlamaForCausalLM.fromPretrained(dir);
}

describe("checkpoints", () => {
  it.each([{}, { tie_word_embeddings: true, attention_bias: true, mlp_bias: true }])(
    "come back as they were saved: %j",
    async (overrides) => {
      const model = LlamaForCausalLM.fromConfig(tinyConfig(overrides), { seed: 4 });
      await model.savePretrained(dir);
      expect((await readdir(dir)).sort()).toEqual(["config.json", "model.safetensors"]);
      const again = await LlamaForCausalLM.fromPretrained(dir);
      expect(again.nameOrPath).toBe(dir);
      expect(again.training).toBe(false);
      expect(again.config).toEqual(model.config);
      expect(await logits(again)).toEqual(await logits(model));
      const names = [...parseSafetensors(await readFile(join(dir, "model.safetensors"))).tensors.keys()];
      expect(names.includes("lm_head.weight")).toBe(!("tie_word_embeddings" in overrides));
      expect(names.sort()).toEqual(
        model
          .namedParameters()
          .map(([name]) => name)
          .sort(),
      );
    },
  );

  it("are saved as f32 from f64, and loaded as f64 when asked", async () => {
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 4, dtype: "f64" });
    await model.savePretrained(dir);
    const again = await LlamaForCausalLM.fromPretrained(dir, { dtype: "f64" });
    expect(again.parameters()[0].dtype).toBe("f64");
    expect(relativeError(await logits(again), await logits(model))).toBeLessThan(1e-5);
  });

  it("may be stored in 16 bits", async () => {
    const halve = (tensors: Tensors): void => {
      for (const [name, { shape, data }] of tensors) {
        const bits = new Uint32Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
        tensors.set(name, { dtype: "BF16", shape, data: Uint16Array.from(bits, (word) => word >>> 16) });
      }
    };
    const model = await edited({ tensors: halve });
    expect(model.parameters()[0].dtype).toBe("bf16");
    const plain = await logits(LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 4 }));
    expect(relativeError(await logits(model), plain)).toBeLessThan(0.05);
  });

  it("may have a configuration of transformers 5, and old rotary buffers", async () => {
    const rope = {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 32,
    };
    const v4 = await edited({ config: { rope_theta: 500, rope_scaling: rope } });
    const v5 = await edited({
      config: {
        rope_theta: undefined,
        rope_scaling: undefined,
        rope_parameters: { ...rope, rope_theta: 500 },
        torch_dtype: undefined,
        dtype: "float32",
      },
      tensors: (all) =>
        all.set("model.layers.0.self_attn.rotary_emb.inv_freq", {
          dtype: "F32",
          shape: [2],
          data: new Float32Array(2),
        }),
    });
    expect(v5.config).toEqual(v4.config);
    expect(await logits(v5)).toEqual(await logits(v4));
    expect(await logits(v4)).not.toEqual(
      await logits(LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 4 })),
    );
  });

  it("may repeat tied weights, if they are equal", async () => {
    const tied = { tie_word_embeddings: true };
    const repeat =
      (scale: number) =>
      (all: Tensors): void => {
        const { data, shape } = all.get("model.embed_tokens.weight") ?? { data: new Uint8Array(), shape: [] };
        const values = new Float32Array(Uint8Array.from(data as Uint8Array).buffer).map((v) => v * scale);
        all.set("lm_head.weight", { dtype: "F32", shape, data: values });
      };
    const model = await edited({ tensors: repeat(1) }, tied);
    expect(await logits(model)).toEqual(
      await logits(LlamaForCausalLM.fromConfig(tinyConfig(tied), { seed: 4 })),
    );
    await expect(edited({ tensors: repeat(2) }, tied)).rejects.toThrow(
      /different values for "model.embed_tokens.weight" and "lm_head.weight"/,
    );
  });

  it("that do not fit name what is missing, unexpected or of the wrong size, and leave nothing alive", async () => {
    const live = liveCpuStorages();
    const error = await edited({
      tensors(all) {
        all.delete("model.norm.weight");
        all.set("model.norm.bias", { dtype: "F32", shape: [1], data: new Float32Array(1) });
      },
      config: { intermediate_size: 21 },
    }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StateDictError);
    const { missing, unexpected, mismatched, message } = error as StateDictError;
    expect(missing).toEqual(["model.norm.weight"]);
    expect(unexpected).toEqual(["model.norm.bias"]);
    expect(mismatched).toHaveLength(6);
    expect(message).toContain(
      `the checkpoint in ${dir} does not fit the Llama in its config.json: missing "model.norm.weight"; `,
    );
    expect(message).toContain('"model.layers.0.mlp.gate_proj.weight" is 20×16 but must be 21×16');
    // Of the model that was saved; of the one that failed to load nothing.
    expect(liveCpuStorages() - live).toBe(21);
  });

  it("with tensors too many load with a warning that names them", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const extra = { dtype: "F32", shape: [1], data: new Float32Array(1) } as const;
    const model = await edited({ tensors: (all) => all.set("model.norm.bias", extra) });
    expect(model).toBeInstanceOf(LlamaForCausalLM);
    expect(warn.mock.calls.flat().join()).toMatch(/does not have; they are not used: "model.norm.bias"$/);
    warn.mockRestore();
  });

  it("of integers, missing files and f64 on a GPU are refused", async () => {
    const integers = (all: Tensors): unknown =>
      all.set("model.norm.weight", { dtype: "I64", shape: [16], data: new BigInt64Array(16) });
    await expect(edited({ tensors: integers })).rejects.toThrow(
      /holds "model.norm.weight" as I64; only F32, F16, BF16, F64 weights/,
    );
    await expect(LlamaForCausalLM.fromPretrained(join(dir, "absent"))).rejects.toThrow(
      /config.json: no such file; expected the configuration of a Llama/,
    );
  });

  it("of a model with something else in place of its modules are not written", async () => {
    class Wrapper extends Module {
      baseLayer = new Linear(16, 16, { bias: false });
    }
    const model = LlamaForCausalLM.fromConfig(tinyConfig(), { seed: 4 });
    model.setSubmodule("model.layers.0.self_attn.q_proj", new Wrapper());
    const target = join(dir, "new");
    await expect(model.savePretrained(target)).rejects.toThrow(
      'the model does not fit a plain Llama (merge or unload its adapters before saving): missing "model.layers.0.self_attn.q_proj.weight"; ' +
        'unexpected "model.layers.0.self_attn.q_proj.base_layer.weight"',
    );
    expect(await readdir(dir)).toEqual([]);
  });

  const tiny = sharedPath("goldens/peft-tiny");
  it.skipIf(tiny === null)("with llama3 rope give the logits of transformers", async () => {
    const { tensors } = parseSafetensors(await readFile(join(tiny as string, "golden.safetensors")));
    const read = (name: string): ArrayBuffer => Uint8Array.from(tensors.get(name)?.data ?? []).buffer;
    const batch = new Int32Array(read("input_ids"));
    const mask = new Int32Array(read("attention_mask"));
    const rows = (values: Int32Array, at: number): number[][] =>
      [0, 10].map((start) => Array.from(values.subarray(at + start, at + start + 10)));
    const model = await LlamaForCausalLM.fromPretrained(join(tiny as string, "tiny-llama"));
    const output = model.forward({ inputIds: rows(batch, 0), attentionMask: rows(mask, 0) });
    const actual = await output.logits.data();
    const expected = new Float32Array(read("base.logits"));
    // Rows of padding are not compared.
    const valid = (values: ArrayLike<number>): number[] =>
      Array.from(values).filter((_, i) => mask[Math.floor(i / 64)] === 1);
    const error = relativeError(valid(actual), valid(expected));
    console.log(`tiny llama3 checkpoint against transformers: relative error ${error.toExponential(1)}`);
    expect(error).toBeLessThan(2e-5);
  });
});
