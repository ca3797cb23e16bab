import { PeftModel } from "../delora/index.ts";
import { AutoTokenizer, type GenerateOptions, LlamaForCausalLM } from "../nn/index.ts";
import { closeDevice, init } from "../ops/index.ts";
import { choice, type Given, number, text, toggle, whole } from "./args.ts";
import { baseOf, embeddedModel, mustBeModel, quantizeFlag } from "./base-model.ts";
import { continueText } from "./continue-text.ts";
import { UsageError } from "./errors.ts";
import { harmless, type Terminal } from "./terminal.ts";

/** The flags of `generate`. */
export const GENERATE_FLAGS = {
  base_model: text(
    "dir",
    "directory of a Llama (default: the one that --adapter was trained on, if it is here, else the small one that comes with polargrad)",
  ),
  adapter: text(
    "dir",
    "directory of a DeLoRA or LoRA adapter, from polargrad finetune or PEFT (default: none)",
  ),
  prompt: text("text", "the text to continue"),
  max_new_tokens: whole("n", "stop after so many tokens (default: 100)", 0),
  temperature: number("x", "draw tokens; below 1 the likely ones more often (default: 1)", {
    low: 0,
    open: "low",
  }),
  top_k: whole("k", "draw among the k likeliest only; 0: all (default: 50)", 0),
  top_p: number("p", "draw among the likeliest that together reach probability p (default: 1)", {
    low: 0,
    high: 1,
    open: "low",
  }),
  seed: whole("n", "of the draws: the same seed gives the same text (default: 0)", 0),
  do_sample: toggle("draw tokens; implied by --temperature, --top_k and --top_p"),
  greedy: toggle("always take the likeliest token: the default unless a flag asks for drawing"),
  device: choice(
    ["auto", "cpu", "webgpu"],
    "auto: a hardware GPU, else the CPU; webgpu: a software adapter too (default: auto)",
  ),
  quantize: quantizeFlag,
};

/** Flags of `generate` as given. */
export type GenerateFlags = Given<typeof GENERATE_FLAGS>;

/**
 * Continue a text, printing it as it grows. @throws UsageError for flags that contradict each other, and
 * what loading throws
 */
export async function generate(given: GenerateFlags, terminal: Terminal): Promise<void> {
  const { prompt, adapter, device = "auto", quantize } = given;
  if (prompt === undefined)
    throw new UsageError('--prompt is missing: say what to continue, such as --prompt "Once upon a time"');
  const options = optionsOf(given);
  const base_model = given.base_model ?? (adapter && (await baseOf(adapter))) ?? embeddedModel();
  await mustBeModel(base_model);
  const tokenizer = await AutoTokenizer.fromPretrained(base_model);
  try {
    const info = await init({ device });
    const model = await LlamaForCausalLM.fromPretrained(base_model, { device: info.device, ...(quantize && { quantize }) });
    if (adapter !== undefined) await PeftModel.fromPretrained(model, adapter);
    model.eval();
    terminal.write(harmless(prompt));
    await continueText(model, tokenizer, prompt, options, terminal.write);
    terminal.print();
  } finally {
    await closeDevice();
  }
}

function optionsOf(given: GenerateFlags): GenerateOptions {
  const { temperature = 1, top_k = 50, top_p = 1, seed = 0, max_new_tokens = 100 } = given;
  const asks = (["do_sample", "temperature", "top_k", "top_p"] as const).filter(
    (flag) => given[flag] !== undefined,
  );
  if (given.greedy && asks.length > 0)
    throw new UsageError(`--greedy and --${asks[0]} contradict each other: leave one out`);
  const doSample = asks.length > 0;
  return { doSample, temperature, topK: top_k, topP: top_p, seed, maxNewTokens: max_new_tokens };
}
