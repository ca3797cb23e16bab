import { DeloraConfig, getPeftModel, type PeftModel } from "../delora/index.ts";
import { writeDirectoryFiles } from "../io/index.ts";
import { LlamaForCausalLM } from "../nn/index.ts";
import { closeDevice, type DeviceInfo, init } from "../ops/index.ts";
import { manualSeed } from "../tensor/generator.ts";
import { TrainingError } from "../train/index.ts";
import { adapterTable } from "./adapter-table.ts";
import { type FinetuneFlags, type FinetuneSettings, targetsOf } from "./finetune-flags.ts";
import { header } from "./finetune-header.ts";
import { type Job, padIdOf, prepareJob } from "./finetune-job.ts";
import { count, decimal, duration } from "./format.ts";
import { facts } from "./table.ts";
import { oneLine, type Terminal } from "./terminal.ts";
import { type RunSummary, TrainingRun } from "./training-run.ts";

/**
 * Fine-tune a Llama with DeLoRA and save the adapter. Nothing is written before all input has been read and
 * checked, and each directory appears whole or not at all.
 *
 * @throws PolargradError of some kind for bad input; InterruptedError after Ctrl-C
 */
export async function finetune(given: FinetuneFlags, terminal: Terminal): Promise<void> {
  const began = performance.now();
  const job = await prepareJob(given);
  try {
    const { quantize } = job.settings;
    const device = await init({ device: job.settings.device });
    const model = await LlamaForCausalLM.fromPretrained(job.baseModel, { device: device.device, ...(quantize && { quantize }) });
    const peft = adapt(model, job.settings);
    await runJob(job, peft, device, terminal);
    terminal.print(`\nDone in ${duration((performance.now() - began) / 1000)}. ${nextStep(job, given)}`);
  } finally {
    await closeDevice();
  }
}

/** Put a fresh DeLoRA adapter on the model. */
function adapt(model: LlamaForCausalLM, settings: FinetuneSettings): PeftModel<LlamaForCausalLM> {
  manualSeed(settings.seed);
  const config = new DeloraConfig({
    r: settings.rank,
    deloraLambda: settings.delora_lambda,
    moduleDropout: settings.module_dropout,
    targetModules: targetsOf(settings.target_modules),
    taskType: "CAUSAL_LM",
  });
  return getPeftModel(model, config);
}

async function runJob(
  job: Job,
  peft: PeftModel<LlamaForCausalLM>,
  device: DeviceInfo,
  terminal: Terminal,
): Promise<void> {
  const { settings, tokenizer, rows, demo } = job;
  const run = new TrainingRun(peft, rows, settings, padIdOf(job));
  for (const line of header(job, peft, device, run.trainer)) terminal.print(line);
  peft.printTrainableParameters();
  terminal.print();
  const before = rows.heldOut.length > 0 ? await run.trainer.evaluate() : null;
  if (before !== null) {
    terminal.print(`held-out loss before training: ${decimal(before)}`);
    mustBeFinite(before, job.baseModel);
  }
  await demo?.before(peft, terminal);
  const summary = await run.train(terminal);
  await peft.savePretrained(settings.output_dir);
  await writeDirectoryFiles(settings.output_dir, tokenizer.files);
  terminal.print();
  for (const line of adapterTable(await peft.adapterReport(), settings.delora_lambda, settings.all_modules))
    terminal.print(line);
  terminal.print();
  for (const line of facts(outcome(job, before, summary))) terminal.print(line);
  await demo?.after(peft, terminal);
}

function outcome(
  { rows, settings }: Job,
  before: number | null,
  { heldOutLoss, steps, tokensPerSecond }: RunSummary,
): [string, string][] {
  const loss: [string, string][] =
    before === null || heldOutLoss === null
      ? [["held-out loss", "not measured (no rows held out)"]]
      : [
          [
            "held-out loss",
            `${decimal(before)} before, ${decimal(heldOutLoss)} after (${count(rows.heldOut.length)} rows)`,
          ],
        ];
  return [
    ...loss,
    ["training", `${count(steps)} steps at ${count(tokensPerSecond)} tokens/s`],
    ["saved", `adapter and tokenizer in ${oneLine(settings.output_dir)}`],
  ];
}

/** A base model with broken weights must not be trained: its loss says so. */
function mustBeFinite(loss: number, baseModel: string): void {
  if (Number.isFinite(loss)) return;
  throw new TrainingError(
    `the loss of the base model ${baseModel} is ${loss} before any training: its weights hold values that are not finite; get the checkpoint again`,
  );
}

function nextStep({ settings, demo }: Job, given: FinetuneFlags): string {
  const base = given.base_model === undefined ? "" : ` --base_model ${quoted(given.base_model)}`;
  const format = settings.quantize ? ` --quantize ${settings.quantize}` : "";
  const prompt = demo ? demo.prompt : "…";
  return `Use it:\n  polargrad generate${base}${format} --adapter ${quoted(settings.output_dir)} --prompt "${prompt}"`;
}

/** A path as a shell takes it. */
const quoted = (path: string): string =>
  /^[\w./:@%+=-]+$/.test(path) ? path : `'${oneLine(path, 1000).replaceAll("'", "'\\''")}'`;
