import { setImmediate } from "node:timers/promises";
import type { PeftModel } from "../delora/index.ts";
import { joinPath } from "../io/index.ts";
import type { LlamaForCausalLM } from "../nn/index.ts";
import { type StepReport, Trainer, type TrainingArguments, TrainingError } from "../train/index.ts";
import { InterruptedError } from "./errors.ts";
import type { PreparedRows } from "./finetune-data.ts";
import type { FinetuneSettings } from "./finetune-flags.ts";
import { Progress } from "./progress.ts";
import type { Terminal } from "./terminal.ts";

/** Share of the steps over which the learning rate rises. */
export const WARMUP_RATIO = 0.1;

/** What a run of training was like. */
export interface RunSummary {
  readonly steps: number;
  /** Held-out loss after the last step; null without held-out rows. */
  readonly heldOutLoss: number | null;
  /** Of training alone. */
  readonly tokensPerSecond: number;
}

/** A model, its rows and the settings: ready to train. */
export class TrainingRun {
  readonly trainer: Trainer;
  readonly #peft: PeftModel<LlamaForCausalLM>;
  readonly #settings: FinetuneSettings;
  readonly #hasHeldOut: boolean;
  #stopping = false;
  #last: StepReport | null = null;
  #heldOutLoss: number | null = null;
  #checkpoint: string | null = null;

  /** @throws TrainingError for settings out of range */
  constructor(
    peft: PeftModel<LlamaForCausalLM>,
    rows: PreparedRows,
    settings: FinetuneSettings,
    padTokenId: number,
  ) {
    this.#peft = peft;
    this.#settings = settings;
    this.#hasHeldOut = rows.heldOut.length > 0;
    this.trainer = new Trainer(peft, rows.train, argumentsOf(settings, padTokenId), rows.heldOut);
  }

  /**
   * Train, showing progress and saving checkpoints. The first Ctrl-C stops after the step at hand.
   *
   * @throws InterruptedError that says at which step it stopped and what is saved; TrainingError when the
   * loss is not finite, which says what is saved too
   */
  async train(terminal: Terminal): Promise<RunSummary> {
    const { totalSteps } = this.trainer;
    const evalSteps = this.#hasHeldOut ? this.#settings.eval_step : 0;
    const progress = new Progress({ totalSteps, evalSteps }, terminal);
    const onInterrupt = (): void => {
      this.#stopping = true;
      progress.note("stopping after this step; press Ctrl-C again to stop at once");
    };
    process.once("SIGINT", onInterrupt);
    try {
      await this.trainer.train({
        onStep: (report) => this.#onStep(report, progress),
        onEvaluate: ({ step, loss }) => {
          this.#heldOut(step, loss);
          if (this.#last) progress.evaluated(this.#last, loss);
        },
        onSave: ({ step }) => this.#save(step, progress),
      });
      await this.#mustBeFinite(totalSteps);
      if (this.#hasHeldOut && evalSteps === 0) this.#heldOut(totalSteps, await this.trainer.evaluate());
    } catch (error) {
      if (!(error instanceof TrainingError) || !this.#checkpoint) throw error;
      throw new TrainingError(`${error.message}; ${this.#saved()}`, { cause: error });
    } finally {
      process.off("SIGINT", onInterrupt);
      progress.stop();
    }
    return { steps: totalSteps, heldOutLoss: this.#heldOutLoss, tokensPerSecond: progress.tokensPerSecond };
  }

  async #onStep(report: StepReport, progress: Progress): Promise<void> {
    this.#last = report;
    progress.step(report);
    // Signals and the terminal are served between turns of the event loop; computing on the CPU has none.
    await setImmediate();
    if (!this.#stopping) return;
    throw new InterruptedError(`stopped after step ${report.step} of ${report.totalSteps}; ${this.#saved()}`);
  }

  #saved(): string {
    return this.#checkpoint
      ? `the checkpoint ${this.#checkpoint} is complete`
      : "no checkpoint was due yet, nothing was saved";
  }

  /** What was learned must be worth saving. A step checks its gradients, not what it makes of them. */
  async #mustBeFinite(step: number): Promise<void> {
    for (const [name, tensor] of this.#peft.getPeftModelStateDict()) {
      const wrong = (await tensor.data()).find((value) => !Number.isFinite(value));
      if (wrong !== undefined) throw this.#diverged(step, `${name} holds ${wrong}`);
    }
  }

  #heldOut(step: number, loss: number): void {
    if (!Number.isFinite(loss)) throw this.#diverged(step, `the held-out loss is ${loss}`);
    this.#heldOutLoss = loss;
  }

  #diverged(step: number, what: string): TrainingError {
    const advice = `lower --learning_rate (${this.#settings.learning_rate})`;
    return new TrainingError(`training diverged: after step ${step} ${what}; ${advice}`);
  }

  async #save(step: number, progress: Progress): Promise<void> {
    await this.#mustBeFinite(step);
    const dir = joinPath(this.#settings.output_dir, `checkpoint-${step}`);
    await this.#peft.savePretrained(dir);
    this.#checkpoint = dir;
    progress.resume();
  }
}

function argumentsOf(settings: FinetuneSettings, padTokenId: number): TrainingArguments {
  return {
    batchSize: settings.batch_size,
    gradientAccumulationSteps: settings.gradient_accumulation_steps,
    numEpochs: settings.num_epochs,
    maxSteps: settings.max_steps,
    learningRate: settings.learning_rate,
    schedule: "linear",
    warmupRatio: WARMUP_RATIO,
    strengthLearningRate: settings.lambda_learning_rate ?? null,
    weightDecay: 0,
    maxGradNorm: 1,
    evalSteps: settings.eval_step,
    saveSteps: settings.save_step,
    seed: settings.seed,
    padTokenId,
  };
}
