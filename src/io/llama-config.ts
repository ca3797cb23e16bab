import { ConfigError, JsonFields } from "./json-fields.ts";
import { quoteValue } from "./quote.ts";

/**
 * How the frequencies of rotary position embedding are stretched for contexts longer than those first trained
 * on.
 */
export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositionEmbeddings: number;
    };

const MOST_LAYERS = 10_000;
const MOST_NUMBERS = 2 ** 32;

/** A Llama's architecture: the fields of Hugging Face's `config.json` that decide what is computed. */
export interface LlamaConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly hiddenAct: "silu";
  readonly maxPositionEmbeddings: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | null;
  readonly tieWordEmbeddings: boolean;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  readonly initializerRange: number;
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId: number | null;
}

/**
 * Read a parsed `config.json` as transformers 4 or 5 writes it. Fields that transformers gives a default have
 * it here.
 *
 * @throws ConfigError for what is not a Llama, and for what this library cannot compute
 */
export function parseLlamaConfig(json: unknown): LlamaConfig {
  const fields = new JsonFields(json, "the configuration");
  checkSupported(fields);
  const hiddenSize = fields.integer("hidden_size", 1);
  const numAttentionHeads = fields.integer("num_attention_heads", 1);
  const numKeyValueHeads = fields.integer("num_key_value_heads", 1, numAttentionHeads);
  const vocabSize = fields.integer("vocab_size", 1);
  const intermediateSize = fields.integer("intermediate_size", 1);
  const numHiddenLayers = fields.integer("num_hidden_layers", 1);
  const headDim = parseHeadDim(fields, hiddenSize, numAttentionHeads);
  const rows = {
    vocab_size: vocabSize,
    intermediate_size: intermediateSize,
    "num_attention_heads × head_dim": numAttentionHeads * headDim,
  };
  checkSize(rows, hiddenSize, numHiddenLayers);
  return {
    vocabSize,
    hiddenSize,
    intermediateSize,
    numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads: divides(numKeyValueHeads, numAttentionHeads),
    headDim,
    hiddenAct: "silu",
    maxPositionEmbeddings: fields.integer("max_position_embeddings", 1, 2048),
    rmsNormEps: fields.positive("rms_norm_eps", 1e-6),
    ...parseRope(fields),
    tieWordEmbeddings: fields.boolean("tie_word_embeddings", false),
    attentionBias: fields.boolean("attention_bias", false),
    mlpBias: fields.boolean("mlp_bias", false),
    initializerRange: fields.positive("initializer_range", 0.02),
    bosTokenId: fields.has("bos_token_id") ? fields.integer("bos_token_id", 0, null) : 1,
    eosTokenIds: parseEosTokenIds(fields),
    padTokenId: parsePadTokenId(fields),
  };
}

/**
 * The configuration as a `config.json` of transformers 4, which version 5 reads too. `dtype` is the stored
 * weights' own: "float32" unless told otherwise.
 */
export function llamaConfigToJson(config: LlamaConfig, dtype = "float32"): Record<string, unknown> {
  const { eosTokenIds } = config;
  return {
    architectures: ["LlamaForCausalLM"],
    attention_bias: config.attentionBias,
    attention_dropout: 0,
    bos_token_id: config.bosTokenId,
    eos_token_id: eosTokenIds.length > 1 ? [...eosTokenIds] : (eosTokenIds[0] ?? null),
    head_dim: config.headDim,
    hidden_act: config.hiddenAct,
    hidden_size: config.hiddenSize,
    initializer_range: config.initializerRange,
    intermediate_size: config.intermediateSize,
    max_position_embeddings: config.maxPositionEmbeddings,
    mlp_bias: config.mlpBias,
    model_type: "llama",
    num_attention_heads: config.numAttentionHeads,
    num_hidden_layers: config.numHiddenLayers,
    num_key_value_heads: config.numKeyValueHeads,
    pad_token_id: config.padTokenId,
    pretraining_tp: 1,
    rms_norm_eps: config.rmsNormEps,
    rope_scaling: ropeScalingToJson(config.ropeScaling),
    rope_theta: config.ropeTheta,
    tie_word_embeddings: config.tieWordEmbeddings,
    torch_dtype: dtype,
    use_cache: true,
    vocab_size: config.vocabSize,
  };
}

/**
 * Angle per position of each pair of channels, in radians: `headDim / 2` values, θ^(-2k / headDim), stretched
 * as `ropeScaling` says. "llama3" keeps wavelengths under original / high, divides the frequencies of those
 * over original / low by `factor`, and blends between.
 */
export function ropeInverseFrequencies(
  config: Pick<LlamaConfig, "headDim" | "ropeTheta" | "ropeScaling">,
): Float64Array {
  const { headDim, ropeTheta, ropeScaling } = config;
  return Float64Array.from({ length: headDim / 2 }, (_, k) => {
    const frequency = ropeTheta ** ((-2 * k) / headDim);
    if (ropeScaling === null) return frequency;
    const stretched = frequency / ropeScaling.factor;
    if (ropeScaling.type === "linear") return stretched;
    const { lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = ropeScaling;
    const turns = (originalMaxPositionEmbeddings * frequency) / (2 * Math.PI);
    if (turns < lowFreqFactor) return stretched;
    if (turns > highFreqFactor) return frequency;
    const share = (turns - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return (1 - share) * stretched + share * frequency;
  });
}

function checkSupported(fields: JsonFields): void {
  const modelType = fields.string("model_type", undefined);
  if (modelType !== "llama") {
    fields.refuse("model_type", 'but only Llama checkpoints ("llama") can be loaded');
  }
  const act = fields.string("hidden_act", "silu");
  if (act !== "silu" && act !== "swish") fields.refuse("hidden_act", 'but only "silu" is supported');
  if (fields.get("attention_dropout") !== undefined && fields.get("attention_dropout") !== 0) {
    fields.refuse("attention_dropout", "but only 0 is supported");
  }
  if (fields.get("quantization_config") !== undefined) {
    fields.refuse(
      "quantization_config",
      "but quantized checkpoints cannot be loaded; use the original weights",
    );
  }
}

/** Sizes that no memory holds are mistakes, and must not be tried. */
function checkSize(rows: Readonly<Record<string, number>>, hiddenSize: number, layers: number): void {
  if (layers > MOST_LAYERS) {
    const why = `num_hidden_layers is ${layers}, but at most ${MOST_LAYERS} are supported`;
    throw new ConfigError("num_hidden_layers", layers, why);
  }
  for (const [field, count] of Object.entries({ ...rows, hidden_size: hiddenSize })) {
    if (count * hiddenSize <= MOST_NUMBERS) continue;
    const why = `${field} (${count}) times hidden_size (${hiddenSize}) is beyond the ${MOST_NUMBERS} numbers that a weight may have`;
    throw new ConfigError(field, count, why);
  }
}

function divides(keyValueHeads: number, heads: number): number {
  if (heads % keyValueHeads === 0) return keyValueHeads;
  const why = `num_attention_heads (${heads}) must be a multiple of num_key_value_heads (${keyValueHeads})`;
  throw new ConfigError("num_key_value_heads", keyValueHeads, why);
}

function parseHeadDim(fields: JsonFields, hiddenSize: number, heads: number): number {
  const given = fields.integer("head_dim", 1, null);
  if (given === null && hiddenSize % heads !== 0) {
    const why = `hidden_size (${hiddenSize}) must be a multiple of num_attention_heads (${heads})`;
    throw new ConfigError("hidden_size", hiddenSize, why);
  }
  const headDim = given ?? hiddenSize / heads;
  if (headDim % 2 === 0) return headDim;
  throw new ConfigError(
    "head_dim",
    headDim,
    `head_dim is ${headDim}, but rotary position embedding needs an even number`,
  );
}

function parseEosTokenIds(fields: JsonFields): number[] {
  const value = fields.has("eos_token_id") ? fields.get("eos_token_id") : 2;
  if (value === undefined) return [];
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  return ids.map((id) => {
    if (typeof id === "number" && Number.isSafeInteger(id) && id >= 0) return id;
    throw new ConfigError(
      "eos_token_id",
      value,
      `eos_token_id is ${quoteValue(value)}, expected token ids, 0 or more`,
    );
  });
}

/** The first Llama checkpoints write -1 for "no padding token". */
function parsePadTokenId(fields: JsonFields): number | null {
  const id = fields.integer("pad_token_id", -1, null);
  return id === -1 ? null : id;
}

/** Version 5 writes one object `rope_parameters`; version 4 writes `rope_theta` and `rope_scaling` apart. */
function parseRope(fields: JsonFields): Pick<LlamaConfig, "ropeTheta" | "ropeScaling"> {
  const field = fields.get("rope_parameters") === undefined ? "rope_scaling" : "rope_parameters";
  const value = fields.get(field);
  const topTheta = fields.positive("rope_theta", 10000);
  if (value === undefined) return { ropeTheta: topTheta, ropeScaling: null };
  const rope = new JsonFields(value, field, `${field}.`);
  return { ropeTheta: rope.positive("rope_theta", topTheta), ropeScaling: parseRopeScaling(rope, fields) };
}

function parseRopeScaling(rope: JsonFields, fields: JsonFields): RopeScaling | null {
  const key = rope.get("rope_type") === undefined ? "type" : "rope_type";
  const type = rope.string(key, "default");
  if ((rope.get("partial_rotary_factor") ?? 1) !== 1) {
    rope.refuse("partial_rotary_factor", "but only 1 is supported");
  }
  if (type === "default") return null;
  if (type === "linear") return { type, factor: rope.positive("factor") };
  if (type !== "llama3") return rope.refuse(key, 'but only "default", "linear" and "llama3" are supported');
  const lowFreqFactor = rope.positive("low_freq_factor");
  const highFreqFactor = rope.positive("high_freq_factor");
  if (highFreqFactor <= lowFreqFactor) {
    rope.refuse("high_freq_factor", `but must be above low_freq_factor (${lowFreqFactor})`);
  }
  const original = rope.integer("original_max_position_embeddings", 1, undefined);
  return {
    type,
    factor: rope.positive("factor"),
    lowFreqFactor,
    highFreqFactor,
    originalMaxPositionEmbeddings: original ?? fields.integer("original_max_position_embeddings", 1),
  };
}

function ropeScalingToJson(scaling: RopeScaling | null): Record<string, unknown> | null {
  if (scaling === null) return null;
  if (scaling.type === "linear") return { factor: scaling.factor, rope_type: "linear", type: "linear" };
  return {
    factor: scaling.factor,
    high_freq_factor: scaling.highFreqFactor,
    low_freq_factor: scaling.lowFreqFactor,
    original_max_position_embeddings: scaling.originalMaxPositionEmbeddings,
    rope_type: "llama3",
  };
}
