import type { PeftModel } from "../delora/index.ts";
import { type EncodedRow, encodeRows, type TextRow, type Tokenizer } from "../io/index.ts";
import type { LlamaForCausalLM } from "../nn/index.ts";
import { evaluateLoss } from "../train/index.ts";
import { continueText } from "./continue-text.ts";
import { mobyDickText, sotuTexts } from "./demo-texts.ts";
import { DEFAULTS, type FinetuneSettings } from "./finetune-flags.ts";
import { decimal } from "./format.ts";
import { oneLine, type Terminal } from "./terminal.ts";

/** Settings of the demo, chosen by measurement so that it takes less than a minute on two cores. */
export const DEMO_DEFAULTS = {
  ...DEFAULTS,
  rank: 8,
  batch_size: 8,
  max_steps: 60,
  cutoff_len: 128,
  val_set_size: 64,
  eval_step: 20,
  save_step: 0,
  module_dropout: 0,
  target_modules: ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
} as const satisfies Omit<FinetuneSettings, "gradient_accumulation_steps">;

const FORGETTING_ROWS = 64;
const PROMPT = "When the sun rose,";
const SAMPLE = { doSample: true, temperature: 0.7, topK: 50, topP: 0.95, seed: 7, maxNewTokens: 48 };

/**
 * The embedded demo: a model that knows presidents' addresses learns Moby-Dick. How much of the addresses
 * does it forget?
 */
export class Demo {
  readonly prompt = PROMPT;
  /** What it learns. */
  readonly document: TextRow = { kind: "document", text: mobyDickText() };
  readonly #tokenizer: Tokenizer;
  readonly #addresses: readonly EncodedRow[];
  #lossBefore = 0;

  /** @throws PolargradError when the demo's texts are not installed */
  constructor(tokenizer: Tokenizer, settings: FinetuneSettings) {
    this.#tokenizer = tokenizer;
    const text = sotuTexts().heldOut;
    this.#addresses = encodeRows([{ kind: "document", text }], tokenizer, {
      cutoffLen: settings.cutoff_len,
    }).slice(0, FORGETTING_ROWS);
  }

  /** Measure and show the model as it was. */
  async before(peft: PeftModel<LlamaForCausalLM>, terminal: Terminal): Promise<void> {
    this.#lossBefore = await evaluateLoss(peft, this.#addresses);
    terminal.print(`loss on presidents' addresses that it has never seen: ${decimal(this.#lossBefore)}`);
    terminal.print(`sample before: ${await this.#sample(peft)}\n`);
  }

  /** Measure and show what became of it. */
  async after(peft: PeftModel<LlamaForCausalLM>, terminal: Terminal): Promise<void> {
    const loss = await evaluateLoss(peft, this.#addresses);
    terminal.print(
      `  forgetting     ${decimal(this.#lossBefore)} before, ${decimal(loss)} after (loss on the addresses)`,
    );
    terminal.print(`\nsample after: ${await this.#sample(peft)}`);
  }

  async #sample(peft: PeftModel<LlamaForCausalLM>): Promise<string> {
    return oneLine(
      PROMPT + (await continueText(peft.eval().baseModel, this.#tokenizer, PROMPT, SAMPLE)),
      400,
    );
  }
}
