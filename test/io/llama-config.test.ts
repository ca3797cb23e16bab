import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  ConfigError,
  llamaConfigToJson,
  parseLlamaConfig,
  ropeInverseFrequencies,
} from "../../src/io/index.ts";
import { sharedPath } from "../shared.ts";

const llama32 = {
  architectures: ["LlamaForCausalLM"],
  attention_bias: false,
  attention_dropout: 0.0,
  bos_token_id: 128000,
  eos_token_id: [128001, 128008, 128009],
  head_dim: 64,
  hidden_act: "silu",
  hidden_size: 2048,
  initializer_range: 0.02,
  intermediate_size: 8192,
  max_position_embeddings: 131072,
  mlp_bias: false,
  model_type: "llama",
  num_attention_heads: 32,
  num_hidden_layers: 16,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  rope_scaling: {
    factor: 32.0,
    high_freq_factor: 4.0,
    low_freq_factor: 1.0,
    original_max_position_embeddings: 8192,
    rope_type: "llama3",
  },
  rope_theta: 500000.0,
  tie_word_embeddings: true,
  torch_dtype: "bfloat16",
  vocab_size: 128256,
};

const minimal = {
  model_type: "llama",
  vocab_size: 32000,
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
};

describe("parseLlamaConfig", () => {
  it("reads the form of version 4", () => {
    expect(parseLlamaConfig(llama32)).toEqual({
      vocabSize: 128256,
      hiddenSize: 2048,
      intermediateSize: 8192,
      numHiddenLayers: 16,
      numAttentionHeads: 32,
      numKeyValueHeads: 8,
      headDim: 64,
      hiddenAct: "silu",
      maxPositionEmbeddings: 131072,
      rmsNormEps: 1e-5,
      ropeTheta: 500000,
      ropeScaling: {
        type: "llama3",
        factor: 32,
        lowFreqFactor: 1,
        highFreqFactor: 4,
        originalMaxPositionEmbeddings: 8192,
      },
      tieWordEmbeddings: true,
      attentionBias: false,
      mlpBias: false,
      initializerRange: 0.02,
      bosTokenId: 128000,
      eosTokenIds: [128001, 128008, 128009],
      padTokenId: null,
    });
  });

  it("reads the same from the form of version 5", () => {
    const { rope_scaling, rope_theta, torch_dtype, ...rest } = llama32;
    const version5 = { ...rest, dtype: torch_dtype, rope_parameters: { ...rope_scaling, rope_theta } };
    expect(parseLlamaConfig(version5)).toEqual(parseLlamaConfig(llama32));
    const plain = { ...minimal, rope_parameters: { rope_theta: 1e6, rope_type: "default" } };
    expect(parseLlamaConfig(plain)).toMatchObject({ ropeTheta: 1e6, ropeScaling: null });
  });

  it("reads the old spelling of linear scaling", () => {
    const config = parseLlamaConfig({ ...minimal, rope_scaling: { type: "linear", factor: 2 } });
    expect(config.ropeScaling).toEqual({ type: "linear", factor: 2 });
  });

  it("takes transformers' defaults", () => {
    expect(parseLlamaConfig(minimal)).toMatchObject({
      numKeyValueHeads: 32,
      headDim: 128,
      maxPositionEmbeddings: 2048,
      rmsNormEps: 1e-6,
      ropeTheta: 10000,
      ropeScaling: null,
      tieWordEmbeddings: false,
      attentionBias: false,
      mlpBias: false,
      initializerRange: 0.02,
      bosTokenId: 1,
      eosTokenIds: [2],
      padTokenId: null,
    });
    const explicit = {
      num_key_value_heads: null,
      head_dim: null,
      bos_token_id: null,
      eos_token_id: null,
      pad_token_id: -1,
    };
    expect(parseLlamaConfig({ ...minimal, ...explicit })).toMatchObject({
      numKeyValueHeads: 32,
      headDim: 128,
      bosTokenId: null,
      eosTokenIds: [],
      padTokenId: null,
    });
  });

  it.each<[Record<string, unknown>, string]>([
    [{ model_type: "gpt2" }, 'model_type is "gpt2", but only Llama'],
    [{ model_type: undefined }, "model_type is nothing, but only Llama"],
    [{ hidden_act: "gelu" }, 'hidden_act is "gelu", but only "silu"'],
    [{ attention_dropout: 0.1 }, "attention_dropout is 0.1, but only 0"],
    [{ quantization_config: { bits: 4 } }, 'quantization_config is {"bits":4}, but quantized'],
    [{ rope_scaling: { rope_type: "yarn", factor: 2 } }, 'rope_scaling.rope_type is "yarn", but only'],
    [{ rope_scaling: { type: "dynamic", factor: 2 } }, 'rope_scaling.type is "dynamic", but only'],
    [{ rope_scaling: { type: "linear" } }, "rope_scaling.factor is missing, expected a number above 0"],
    [{ rope_scaling: [] }, "rope_scaling must be an object, got []"],
    [{ rope_parameters: { rope_theta: -1 } }, "rope_parameters.rope_theta is -1, expected a number above 0"],
    [
      { rope_parameters: { partial_rotary_factor: 0.5 } },
      "rope_parameters.partial_rotary_factor is 0.5, but only 1",
    ],
    [{ num_attention_heads: 33 }, "hidden_size (4096) must be a multiple of num_attention_heads (33)"],
    [{ num_key_value_heads: 5 }, "num_attention_heads (32) must be a multiple of num_key_value_heads (5)"],
    [{ head_dim: 7 }, "head_dim is 7, but rotary position embedding needs an even number"],
    [{ vocab_size: undefined }, "vocab_size is missing, expected a whole number, 1 or more"],
    [{ hidden_size: "4096" }, 'hidden_size is "4096", expected a whole number, 1 or more'],
    [{ num_hidden_layers: 2.5 }, "num_hidden_layers is 2.5, expected a whole number"],
    [{ num_hidden_layers: 1e9 }, "num_hidden_layers is 1000000000, but at most 10000 are supported"],
    [{ vocab_size: 1e12 }, "vocab_size (1000000000000) times hidden_size (4096) is beyond"],
    [{ head_dim: 1e9 }, "num_attention_heads × head_dim (32000000000) times hidden_size (4096) is beyond"],
    [{ rms_norm_eps: 0 }, "rms_norm_eps is 0, expected a number above 0"],
    [{ eos_token_id: [2, "3"] }, 'eos_token_id is [2,"3"], expected token ids'],
    [{ tie_word_embeddings: "yes" }, 'tie_word_embeddings is "yes", expected true or false'],
  ])("refuses %j", (change, message) => {
    const parse = (): unknown => parseLlamaConfig({ ...minimal, ...change });
    expect(parse).toThrow(ConfigError);
    expect(parse).toThrow(`config.json: ${message}`);
  });

  it.each([[null], [[]], ["llama"], [3]])("refuses %j, which is no object", (json) => {
    expect(() => parseLlamaConfig(json)).toThrow(`the configuration must be an object`);
  });

  it("reads own fields only, and leaves every prototype alone", () => {
    const json: unknown = JSON.parse(`{"__proto__":${JSON.stringify(minimal)}}`);
    expect(() => parseLlamaConfig(json)).toThrow("model_type is nothing");
    expect(() => parseLlamaConfig(Object.create(minimal))).toThrow("model_type is nothing");
    expect(Object.hasOwn(Object.prototype, "model_type")).toBe(false);
  });

  for (const relative of ["models/stories260K/config.json", "goldens/peft-tiny/tiny-llama/config.json"]) {
    const path = sharedPath(relative);
    it.skipIf(path === null)(`reads ../shared/${relative}`, () => {
      const config = parseLlamaConfig(JSON.parse(readFileSync(path ?? "", "utf8")));
      expect(config).toMatchObject({ headDim: 8, rmsNormEps: 1e-5 });
      expect(parseLlamaConfig(llamaConfigToJson(config))).toEqual(config);
    });
  }
});

describe("llamaConfigToJson", () => {
  it.each([
    llama32,
    minimal,
    {
      ...minimal,
      rope_scaling: { type: "linear", factor: 2 },
      eos_token_id: null,
      pad_token_id: 0,
      head_dim: 64,
    },
  ])("writes what parseLlamaConfig reads back the same", (json) => {
    const config = parseLlamaConfig(json);
    expect(parseLlamaConfig(JSON.parse(JSON.stringify(llamaConfigToJson(config))))).toEqual(config);
  });

  it("gives a version 4 file back as it was", () => {
    expect(llamaConfigToJson(parseLlamaConfig(llama32), "bfloat16")).toEqual({
      ...llama32,
      pad_token_id: null,
      pretraining_tp: 1,
      use_cache: true,
    });
  });
});

describe("ropeInverseFrequencies", () => {
  it("agrees with transformers for Llama-3.2-1B", () => {
    const frequencies = ropeInverseFrequencies(parseLlamaConfig(llama32));
    expect(frequencies.length).toBe(32);
    const expected: [number, number][] = [
      [0, 1],
      [1, 0.663601279],
      [13, 0.00483942125],
      [14, 0.00321144611],
      [15, 0.00129054801],
      [16, 0.000429556705],
      [17, 9.70828623e-5],
      [18, 1.94616387e-5],
      [31, 9.41830649e-8],
    ];
    for (const [k, value] of expected) expect(Math.abs(frequencies[k] / value - 1)).toBeLessThan(3e-7);
  });

  it("is θ^(-2k/d) without scaling, and divided by the factor with linear scaling", () => {
    const config = { headDim: 8, ropeTheta: 10000, ropeScaling: null };
    expect([...ropeInverseFrequencies(config)].map((value) => Number(value.toPrecision(12)))).toEqual([
      1, 0.1, 0.01, 0.001,
    ]);
    const linear = ropeInverseFrequencies({ ...config, ropeScaling: { type: "linear", factor: 4 } });
    expect(linear).toEqual(ropeInverseFrequencies(config).map((value) => value / 4));
  });
});
