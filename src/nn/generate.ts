import { ArgumentError } from "../tensor/errors.ts";
import { nextStream, philox } from "../tensor/generator.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { KvCache } from "./kv-cache.ts";
import { argmaxOf, type SamplingSettings, sampleFrom } from "./sampling.ts";

/** What `generate` needs of a model: `LlamaForCausalLM` has it. */
export interface GenerationModel {
  readonly config: { readonly eosTokenIds: readonly number[] };
  /** Scores of the next token of each row, [batch, vocab]; see `LlamaForCausalLM.nextTokenLogits`. */
  nextTokenLogits(inputIds: readonly (readonly number[])[], cache?: KvCache): Tensor;
}

/** How a text is continued. */
export interface GenerateOptions extends Partial<SamplingSettings> {
  /** Default 20. */
  readonly maxNewTokens?: number;
  /**
   * Draw tokens by their probability (with temperature 1, topK 50, topP 1 by default) instead of taking the
   * likeliest. Default false.
   */
  readonly doSample?: boolean;
  /** The draws depend on this alone. Default: one stream of the global generator. */
  readonly seed?: number;
  /** Stop after one of these. Default: those of the model's configuration. */
  readonly eosTokenIds?: readonly number[];
  /** Keep keys and values of earlier positions. The result is the same without, only later. Default true. */
  readonly useCache?: boolean;
  /** Called with each token as soon as it is chosen; waited for. */
  readonly onToken?: (id: number) => void | Promise<void>;
}

/** Fourth word of Philox's counter: keeps the draws apart from those of random ops. */
const PURPOSE = 3;

/**
 * Continue a sequence of token ids. The likeliest token is taken (the first of several), or one is drawn.
 * Dropout is active if the model is in training mode: call `model.eval()` first.
 *
 * @returns the new ids, with the one that ended the text
 * @throws ArgumentError for an empty prompt, an id outside the vocabulary or an option out of range
 */
export async function generate(
  model: GenerationModel,
  promptIds: readonly number[],
  options: GenerateOptions = {},
): Promise<number[]> {
  const { maxNewTokens = 20, eosTokenIds = model.config.eosTokenIds, useCache = true, onToken } = options;
  const choose = chooser(options);
  checkWhole("maxNewTokens", maxNewTokens);
  const made: number[] = [];
  const cache = useCache ? new KvCache() : undefined;
  try {
    while (made.length < maxNewTokens) {
      const row = cache && made.length > 0 ? made.slice(-1) : [...promptIds, ...made];
      const id = choose(await read(model.nextTokenLogits([row], cache)), made.length);
      made.push(id);
      await onToken?.(id);
      if (eosTokenIds.includes(id)) break;
    }
  } finally {
    cache?.dispose();
  }
  return made;
}

async function read(logits: Tensor): Promise<ArrayLike<number>> {
  try {
    return await logits.data();
  } finally {
    logits.dispose();
  }
}

/** The function that chooses the token of a step from its scores. */
function chooser(options: GenerateOptions): (scores: ArrayLike<number>, step: number) => number {
  const { doSample = false, temperature = 1, topK = 50, topP = 1 } = options;
  const invalid = (name: string, expected: string, value: number, advice = ""): ArgumentError =>
    new ArgumentError("generate", name, expected, String(value), advice);
  if (!(temperature > 0 && Number.isFinite(temperature))) {
    throw invalid(
      "temperature",
      "a finite number above 0",
      temperature,
      "leave doSample out to always take the likeliest token",
    );
  }
  checkWhole("topK", topK);
  if (!(topP > 0 && topP <= 1)) throw invalid("topP", "above 0 and at most 1", topP);
  if (!doSample) return argmaxOf;
  const { seed, stream } =
    options.seed === undefined ? nextStream() : { seed: options.seed >>> 0, stream: 0 };
  const words = new Uint32Array(4);
  return (scores, step) => {
    philox([step, 0, stream, PURPOSE], [seed, 0], words);
    const u = (words[0] * 2 ** 21 + (words[1] >>> 11)) / 2 ** 53;
    return sampleFrom(scores, { temperature, topK, topP }, u);
  };
}

function checkWhole(name: string, value: number): void {
  if (Number.isSafeInteger(value) && value >= 0) return;
  throw new ArgumentError("generate", name, "a whole number of at least 0", String(value));
}
