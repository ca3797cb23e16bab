import type { LlamaConfig } from "../io/index.ts";
import { tileCache } from "../io/tile-cache.ts";
import {
  defaultDevice,
  type DeviceChoice,
  full,
  held,
  noGrad,
  ones,
  openDevice,
  randn,
  slice,
  squeeze,
  tidy,
  tuneGpu,
  zeros,
} from "../ops/index.ts";
import type { BlockFormat } from "../tensor/dtype.ts";
import { ArgumentError } from "../tensor/errors.ts";
import { getGeneratorState, manualSeed, setGeneratorState } from "../tensor/generator.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Device } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { lossOf, shareOf } from "./causal-lm-loss.ts";
import { CausalLMOutput } from "./causal-lm-output.ts";
import { Embedding } from "./embedding.ts";
import { placeholderInit, type WeightInit } from "./init.ts";
import type { KvCache } from "./kv-cache.ts";
import { Linear } from "./linear.ts";
import { loadWeights, readLlamaConfig, saveLlama } from "./llama-checkpoint.ts";
import { LOAD_DTYPES, type LoadDType, QUANTIZE } from "./llama-weights.ts";
import { readIds, readMask, readTargets, type Rows, type Targets } from "./llama-inputs.ts";
import type { LlamaInit } from "./llama-layers.ts";
import { LlamaModel } from "./llama-model.ts";
import { Module, type TensorModule } from "./module.ts";

/** Input of `LlamaForCausalLM.forward`: rows of numbers, or tensors on the model's device. */
export interface CausalLMInputs {
  /** Token ids, i32 [batch, time]. */
  readonly inputIds: Rows;
  /** The ids again, or -100 where nothing is to be learned; the model shifts them by one. */
  readonly labels?: Rows | undefined;
  /** 1 for tokens, 0 for padding on either side. Default: no padding. */
  readonly attentionMask?: Rows | undefined;
  /**
   * Make the loss the sum over the labels divided by this, for micro-batches of one step; a tensor holds the
   * factor, 1 over it. Default: the mean.
   */
  readonly numItemsInBatch?: number | Tensor | undefined;
  /** Instead of `labels`, what `prepare` made of them: i32, shifted, of all positions or of those in `positions`. */
  readonly targets?: Tensor | undefined;
  /** i32 [n]: the positions that `targets` stand at, counted through the whole batch. */
  readonly positions?: Tensor | undefined;
}

/** Inputs of `forward` as tensors, by their names. */
export type PreparedInputs = { readonly inputIds: Tensor } & Readonly<Record<string, Tensor>>;

/** How a Llama is made from its configuration alone. */
export interface FromConfigOptions {
  /**
   * Seed of the first weights; the global generator goes on as if nothing had happened. Default: draw from
   * the global generator.
   */
  readonly seed?: number;
  /** Default: the device of `init()`. */
  readonly device?: Device;
  /** Default f32; f64 is for checks on the CPU. */
  readonly dtype?: "f32" | "f64";
}

/** How a checkpoint is loaded. */
export interface FromPretrainedOptions {
  /** Opened when it is not open yet. Default: the device of `init()`. */
  readonly device?: DeviceChoice;
  /**
   * What the weights become in memory. Default "auto": as they are stored (F64 as f32). "f16" and "bf16" hold
   * them frozen in half the bytes, vectors (norms, biases) in f32; everything computes in f32 all the same, so
   * a bf16 checkpoint gives exactly what it gives as f32. "f32" is for training all weights, "f64" for checks
   * on the CPU.
   */
  readonly dtype?: LoadDType;
  /**
   * Hold the matrices frozen as integers in blocks (see `quantize`), the embedding and the head too: a quarter
   * (q8_0) or a seventh (q4_0, q4_1) of f32. Those whose rows are no multiple of 32 become what `dtype` says,
   * with a warning.
   */
  readonly quantize?: BlockFormat;
}

const PLACEHOLDERS: LlamaInit = { weight: placeholderInit, bias: placeholderInit, norm: placeholderInit };

/** A Llama language model: predicts each token from those before it. */
export class LlamaForCausalLM extends Module {
  readonly config: LlamaConfig;
  /** The directory it was loaded from; null for a model made from its configuration. */
  readonly nameOrPath: string | null;
  model: LlamaModel;
  lmHead: TensorModule;

  /** Prefer `fromPretrained` and `fromConfig`. */
  constructor(config: LlamaConfig, init: LlamaInit, nameOrPath: string | null = null) {
    super();
    this.config = config;
    this.nameOrPath = nameOrPath;
    this.model = new LlamaModel(config, init);
    const { embedTokens } = this.model;
    const tied = config.tieWordEmbeddings && embedTokens instanceof Embedding ? embedTokens.weight : null;
    this.lmHead = new Linear(config.hiddenSize, config.vocabSize, {
      bias: false,
      init: init.weight,
      weight: tied,
    });
  }

  /** A new model in training mode: weights normal(0, `initializerRange`), norms 1, biases 0. */
  static fromConfig(config: LlamaConfig, options: FromConfigOptions = {}): LlamaForCausalLM {
    const { seed, device = defaultDevice(), dtype = "f32" } = options;
    const at = { device, dtype };
    const weight: WeightInit = (shape) => randn(shape, { ...at, std: config.initializerRange });
    const before = getGeneratorState();
    if (seed !== undefined) manualSeed(seed);
    try {
      const init = {
        weight,
        bias: (shape: Shape) => zeros(shape, at),
        norm: (shape: Shape) => ones(shape, at),
      };
      return new LlamaForCausalLM(config, init);
    } finally {
      if (seed !== undefined) setGeneratorState(before);
    }
  }

  /**
   * Load a checkpoint directory of Hugging Face's layout (config.json, model.safetensors or its shards) in
   * eval mode. With weights in a stored format (f16, bf16, quantised) all of it is
   * frozen. The first large model on a hardware GPU measures which kernels are fast there and keeps that in
   * XDG_CACHE_HOME/polargrad (~/.cache/polargrad); POLARGRAD_AUTOTUNE=off does not.
   *
   * @throws FileError, ConfigError, CheckpointError, SafetensorsError for what cannot be read;
   * StateDictError, which names every tensor that is missing, unexpected or of another shape than config.json
   * says
   */
  static async fromPretrained(dir: string, options: FromPretrainedOptions = {}): Promise<LlamaForCausalLM> {
    const { dtype = "auto", quantize } = options;
    checkChoice("dtype", dtype, LOAD_DTYPES);
    if (quantize !== undefined) checkChoice("quantize", quantize, QUANTIZE);
    if (dtype === "f64" && quantize) throw new ArgumentError("fromPretrained", "dtype", "another than f64 with quantize", "f64");
    const { device } = await openDevice(options.device ?? defaultDevice());
    if (dtype === "f64" && device !== "cpu") {
      throw new ArgumentError(
        "fromPretrained",
        "dtype",
        "another than f64 on webgpu",
        "f64",
        'f64 exists on the CPU only: pass device: "cpu"',
      );
    }
    const config = await readLlamaConfig(dir);
    if (device === "webgpu") await tuneGpu(tileCache, config.hiddenSize * Math.max(config.intermediateSize, config.vocabSize));
    const model = new LlamaForCausalLM(config, PLACEHOLDERS, dir);
    try {
      await loadWeights(model, dir, { dtype, quantize, device });
    } catch (error) {
      model.#disposeParameters();
      throw error;
    }
    return model.eval();
  }

  /**
   * Write config.json and model.safetensors, which transformers loads too. Weights in f16 and bf16 are written
   * so, and so are the vectors beside them where it loses nothing; everything else as F32, quantised weights with
   * the values that they decode to. Other files in `dir` stay.
   *
   * @throws StateDictError when adapters are attached, FileError
   */
  async savePretrained(dir: string): Promise<void> {
    const plain = new LlamaForCausalLM(this.config, PLACEHOLDERS);
    try {
      await saveLlama(this, plain, this.config, dir);
    } finally {
      plain.#disposeParameters();
    }
  }

  /** Recompute layers in the backward sweep: less memory, one more forward. */
  gradientCheckpointingEnable(): void {
    this.model.gradientCheckpointing = true;
  }

  /** Keep the layers' intermediates for the backward sweep, the default. */
  gradientCheckpointingDisable(): void {
    this.model.gradientCheckpointing = false;
  }

  /**
   * Hidden states, lazily logits, and with labels the loss: the mean cross-entropy over the labels other than
   * -100. Sequences longer than `maxPositionEmbeddings` are allowed, as in transformers. Intermediates belong
   * to the graph and are freed by `loss.backward()`.
   *
   * @throws ArgumentError naming the value and its limit: ragged rows, an id outside the vocabulary, labels
   * of another shape
   */
  forward(inputs: CausalLMInputs): CausalLMOutput {
    const { inputIds, attentionMask, numItemsInBatch } = inputs;
    const { device, lmHead } = this;
    const { vocabSize } = this.config;
    let lastHiddenState: Tensor | undefined;
    const { loss } = tidy(() => {
      const ids = readIds(inputIds, vocabSize, device);
      const mask = attentionMask && readMask(attentionMask, ids.shape, device);
      const targets = this.#targetsOf(inputs, ids.shape);
      const hidden = this.model.forward({ inputIds: ids, attentionMask: mask });
      lastHiddenState = hidden;
      const loss = targets && lossOf(held(hidden), lmHead, targets, numItemsInBatch);
      // A hidden state in the loss's graph is freed with it; any other belongs to the caller.
      return loss?.requiresGrad && hidden.requiresGrad ? { loss } : { loss, hidden };
    });
    return new CausalLMOutput(loss, lastHiddenState as Tensor, lmHead);
  }

  /**
   * The inputs of `forward` as tensors on the model's device, for a loss: everything that `forward` does with numbers of the host.
   * They belong to the caller.
   *
   * @throws ArgumentError as `forward`
   */
  prepare({ inputIds, labels, attentionMask, numItemsInBatch }: CausalLMInputs): PreparedInputs {
    const { device } = this;
    const { vocabSize } = this.config;
    return tidy(() => {
      const ids = readIds(inputIds, vocabSize, device);
      const mask = attentionMask && readMask(attentionMask, ids.shape, device);
      const { labels: targets, positions } = readTargets(labels ?? inputIds, ids.shape, vocabSize, device);
      const exact = { device, dtype: device === "cpu" ? "f64" : "f32" } as const;
      const share = typeof numItemsInBatch === "number" ? full([], shareOf(numItemsInBatch), exact) : numItemsInBatch;
      const optional = Object.entries({ attentionMask: mask, positions, numItemsInBatch: share });
      const given = optional.flatMap(([name, value]): [string, Tensor][] => (value ? [[name, value.detach()]] : []));
      return { inputIds: ids.detach(), targets, ...Object.fromEntries(given) };
    });
  }

  #targetsOf({ labels, targets, positions }: CausalLMInputs, shape: Shape): Targets | undefined {
    if (targets) return { labels: targets, positions: positions ?? null };
    return labels && readTargets(labels, shape, this.config.vocabSize, this.device);
  }

  /**
   * Scores of the token after the last of each row: [batch, vocab]. Not recorded. With a cache, `inputIds`
   * are the ids after the cached ones, and the cache is extended.
   */
  nextTokenLogits(inputIds: Rows, cache?: KvCache): Tensor {
    return noGrad(() =>
      tidy(() => {
        const ids = readIds(inputIds, this.config.vocabSize, this.device);
        const hidden = this.model.forward({ inputIds: ids, cache });
        return squeeze(this.lmHead.forward(slice(hidden, { axis: 1, start: -1 })), { axis: 1 });
      }),
    );
  }

  #disposeParameters(): void {
    for (const parameter of this.parameters()) parameter.dispose();
  }
}

function checkChoice(option: string, value: string, choices: readonly string[]): void {
  if (choices.includes(value)) return;
  const expected = choices.map((name) => `"${name}"`).join(", ");
  throw new ArgumentError("fromPretrained", option, `one of ${expected}`, `"${String(value)}"`);
}
