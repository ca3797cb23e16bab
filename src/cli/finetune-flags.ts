import { choice, type Given, list, number, text, toggle, whole } from "./args.ts";
import { quantizeFlag } from "./base-model.ts";

/** The flags of `finetune`: the names are those of PEFT's example delora_finetuning.py where it has them. */
export const FINETUNE_FLAGS = {
  base_model: text("dir", "directory of a Llama: config.json, model.safetensors, tokenizer.json"),
  data_path: text("file", ".txt, or .jsonl with {text}, {prompt, completion} or {question, answer} a line"),
  output_dir: text("dir", "where the adapter is saved; checkpoints go to checkpoint-N below it"),
  batch_size: whole("rows", "rows of a micro-batch, in training and evaluation", 1),
  gradient_accumulation_steps: whole("n", "micro-batches of an optimizer step (default: 16 rows a step)", 1),
  num_epochs: number("n", "passes over the rows", { low: 0, open: "low" }),
  max_steps: whole("n", "stop after so many optimizer steps; 0: after all epochs", 0),
  learning_rate: number("x", "peak of the linear schedule; 10 % of the steps warm up", {
    low: 0,
    open: "low",
  }),
  cutoff_len: whole("tokens", "longest row; a .txt is cut into sequences of this length", 2),
  val_set_size: whole("rows", "rows held out of training, on which the loss is evaluated; 0: none", 0),
  eval_step: whole("steps", "evaluate every so many steps, and after the last; 0: only before and after", 0),
  save_step: whole("steps", "save a checkpoint every so many steps; 0: only the final adapter", 0),
  device: choice(
    ["auto", "cpu", "webgpu"],
    "auto: a hardware GPU, else the CPU; webgpu: a software adapter too",
  ),
  quantize: quantizeFlag,
  rank: whole("r", "directions of the update of each module", 1),
  delora_lambda: number("x", "strength λ at the start, it is trained; ‖ΔW‖_F ≤ λ·max_j ‖W[:, j]‖", {
    low: 0,
    open: "low",
  }),
  module_dropout: number("p", "dropout on the adapters' input", { low: 0, high: 1, open: "high" }),
  lambda_learning_rate: number("x", "peak of λ's own learning rate (default: --learning_rate)", { low: 0 }),
  target_modules: list(
    "names",
    "modules to adapt, between commas, or all-linear (also --delora_target_modules)",
  ),
  seed: whole("n", "of the split, the order of the rows, the adapter's start and dropout", 0),
  all_modules: toggle("list every adapted module at the end, however many there are"),
};

/** Flags of `finetune` as given. */
export type FinetuneFlags = Given<typeof FINETUNE_FLAGS>;

/** What a run needs to know, with defaults filled in. The names are the flags'. */
export type FinetuneSettings = Required<
  Omit<FinetuneFlags, "base_model" | "data_path" | "lambda_learning_rate" | "quantize">
> &
  Pick<FinetuneFlags, "lambda_learning_rate" | "quantize">;

const ROWS_A_STEP = 16;

/** Defaults: those of PEFT's example, except for λ, which is 640 there. */
export const DEFAULTS = {
  output_dir: "polargrad-adapter",
  batch_size: 1,
  num_epochs: 1,
  max_steps: 0,
  learning_rate: 3e-3,
  cutoff_len: 512,
  val_set_size: 500,
  eval_step: 10,
  save_step: 100,
  device: "auto",
  rank: 32,
  delora_lambda: 15,
  module_dropout: 0.05,
  target_modules: ["q_proj", "v_proj"],
  seed: 42,
  all_modules: false,
} as const satisfies Omit<FinetuneSettings, "gradient_accumulation_steps">;

/** Fill in what was not given, from `defaults` (the demo has its own). */
export function settingsOf(
  given: FinetuneFlags,
  defaults: Omit<FinetuneSettings, "gradient_accumulation_steps">,
): FinetuneSettings {
  const settings = { ...defaults, ...given };
  return {
    gradient_accumulation_steps: Math.max(1, Math.round(ROWS_A_STEP / settings.batch_size)),
    ...settings,
  };
}

/** What `--target_modules` names: a list, or PEFT's word for every Linear but the head. */
export const targetsOf = (names: readonly string[]): "all-linear" | readonly string[] =>
  names.length === 1 && names[0].toLowerCase() === "all-linear" ? "all-linear" : names;

/** Text below the list of flags: what differs from PEFT's script. */
export const FINETUNE_NOTES = `
Without --base_model and --data_path it runs the demo: the small Llama that comes with the package learns Moby-Dick.
A --data_path alone fine-tunes that small Llama. Flags may be written with - in place of _.

The flags and defaults are those of PEFT's example delora_finetuning.py; where that has bugs, what its author meant:
  --delora_lambda   15, as PEFT's documentation advises; the script's 640 lets ‖ΔW‖ exceed ‖W‖
  --val_set_size    really holds rows out; the script parses it and never uses it
  --eval_step       really evaluates; the script only logs
  warm-up           10 % of the steps that really run; the script's comes out as 0 steps
  end of text       learned: labels are ignored by padding position; the script ignores every EOS
  --device          cpu works, and auto without a GPU; the script crashes on both
Not offered: --push_to_hub and --hub_model_id; PEFT loads the saved directory and can upload it.
`;
