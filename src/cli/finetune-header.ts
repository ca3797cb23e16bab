import type { PeftModel } from "../delora/index.ts";
import type { EncodedRow } from "../io/index.ts";
import type { LlamaForCausalLM } from "../nn/index.ts";
import type { DeviceInfo } from "../ops/index.ts";
import type { Trainer } from "../train/index.ts";
import { targetsOf } from "./finetune-flags.ts";
import type { Job } from "./finetune-job.ts";
import { count, counted } from "./format.ts";
import { facts } from "./table.ts";
import { oneLine } from "./terminal.ts";
import { WARMUP_RATIO } from "./training-run.ts";

/** Lines that say what is about to happen. */
export function header(
  job: Job,
  peft: PeftModel<LlamaForCausalLM>,
  device: DeviceInfo,
  trainer: Trainer,
): string[] {
  const { settings, config, rows, notes } = job;
  const { numHiddenLayers, hiddenSize } = config;
  const [trainable, all] = peft.getNbTrainableParameters();
  const modules = adaptedNames(peft);
  const kinds = [...new Set(modules.map((name) => name.slice(name.lastIndexOf(".") + 1)))];
  const batch = `${settings.batch_size} × ${settings.gradient_accumulation_steps} rows a step`;
  const warmUp = `${Math.ceil(WARMUP_RATIO * trainer.totalSteps)} of them warm-up`;
  const evaluation = settings.eval_step > 0 ? `, evaluated every ${counted(settings.eval_step, "step")}` : "";
  const format = settings.quantize ? `, matrices in ${settings.quantize}` : "";
  const held =
    rows.heldOut.length > 0 ? `; ${counted(rows.heldOut.length, "row")} held out${evaluation}` : "";
  const lines = facts([
    [
      "model",
      `${oneLine(job.baseModel)}: Llama, ${numHiddenLayers} layers of ${hiddenSize}, ${count(all - trainable)} parameters${format}`,
    ],
    ["device", `${device.device} (${oneLine(device.reason)})`],
    [
      "data",
      `${job.dataName}: ${counted(rows.train.length, "row")}, ${count(tokensOf(rows.train))} tokens${held}`,
    ],
    [
      "adapter",
      `DeLoRA of rank ${settings.rank}, λ ${settings.delora_lambda}, on ${counted(modules.length, "module")}: ${kinds.join(", ")}`,
    ],
    ["steps", `${count(trainer.totalSteps)} (${batch}), ${warmUp}; learning rate ${settings.learning_rate}`],
  ]);
  const targets = targetsOf(settings.target_modules);
  const unmatched = (targets === "all-linear" ? [] : targets).filter(
    (target) => !modules.some((name) => name === target || name.endsWith(`.${target}`)),
  );
  const extra =
    unmatched.length > 0
      ? [
          `--target_modules ${unmatched.map((name) => oneLine(name)).join(",")}: no module has this name, it is passed over`,
        ]
      : [];
  return ["polargrad finetune", ...lines, ...[...notes, ...extra].map((note) => `  note: ${note}`), ""];
}

/** Paths of the adapted modules in the base model. */
function adaptedNames(peft: PeftModel<LlamaForCausalLM>): string[] {
  const marker = /^base_model\.model\.(.*)\.delora_A\./;
  return peft.namedParameters().flatMap(([name]) => marker.exec(name)?.[1] ?? []);
}

const tokensOf = (rows: readonly EncodedRow[]): number =>
  rows.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
