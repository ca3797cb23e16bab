import cliProgress from "cli-progress";
import type { StepReport } from "../train/index.ts";
import { count, decimal, duration } from "./format.ts";
import type { Terminal } from "./terminal.ts";

/** What the display of a run has to know beforehand. */
export interface ProgressPlan {
  readonly totalSteps: number;
  /** Evaluate every so many steps and after the last; 0: never during the run. */
  readonly evalSteps: number;
}

const MOST_LINES = 20;
const WINDOW = 20;

/** Shows how training goes: a bar where somebody watches, else at most about 20 lines. */
export class Progress {
  readonly #plan: ProgressPlan;
  readonly #terminal: Terminal;
  readonly #bar: cliProgress.SingleBar | null;
  readonly #every: number;
  /** Tokens and seconds of the last steps, evaluations and saving left out. */
  readonly #recent: { readonly tokens: number; readonly seconds: number }[] = [];
  #resumed = performance.now();
  #tokens = 0;
  #seconds = 0;
  #done = 0;
  #shown = "";
  #heldOut = "";

  constructor(plan: ProgressPlan, terminal: Terminal) {
    this.#plan = plan;
    this.#terminal = terminal;
    const unit = Math.max(1, plan.evalSteps);
    this.#every = unit * Math.ceil(plan.totalSteps / unit / MOST_LINES);
    this.#bar = terminal.isTTY ? makeBar() : null;
    this.#bar?.start(plan.totalSteps, 0, { state: "" });
  }

  /** Speed of the whole run so far, training alone. */
  get tokensPerSecond(): number {
    return this.#seconds > 0 ? this.#tokens / this.#seconds : 0;
  }

  /** A step is done. */
  step(report: StepReport): void {
    const seconds = (performance.now() - this.#resumed) / 1000;
    this.#tokens += report.tokens;
    this.#seconds += seconds;
    this.#recent.push({ tokens: report.tokens, seconds });
    if (this.#recent.length > WINDOW) this.#recent.shift();
    this.#done = report.step;
    this.#shown = [this.#state(report), this.#heldOut].filter(Boolean).join("  ");
    this.#bar?.update(this.#done, { state: this.#shown });
    if (!this.#evaluatesAt(report.step)) this.#line(report);
    this.#resumed = performance.now();
  }

  /** The step's evaluation is done. */
  evaluated(report: StepReport, loss: number): void {
    this.#heldOut = `held-out ${decimal(loss)}`;
    this.#line(report, this.#heldOut);
    this.#resumed = performance.now();
  }

  /** Say something beside the display. */
  note(text: string): void {
    if (!this.#bar) {
      this.#terminal.print(text);
      return;
    }
    // The bar goes back to where it began when it stops: it has to begin anew below the text.
    this.#bar.stop();
    this.#terminal.print(text);
    this.#bar.start(this.#plan.totalSteps, this.#done, { state: this.#shown });
  }

  /** Seconds were spent on something other than training. */
  resume(): void {
    this.#resumed = performance.now();
  }

  /** Take the bar away. */
  stop(): void {
    this.#bar?.stop();
  }

  #evaluatesAt(step: number): boolean {
    const { evalSteps, totalSteps } = this.#plan;
    return evalSteps > 0 && (step % evalSteps === 0 || step === totalSteps);
  }

  #line(report: StepReport, extra?: string): void {
    const { step, totalSteps } = report;
    if (step % this.#every !== 0 && step !== totalSteps) return;
    if (this.#bar && extra === undefined) return;
    const at = `step ${String(step).padStart(String(totalSteps).length)}/${totalSteps}`;
    this.note([at, this.#state(report), extra].filter(Boolean).join("  "));
  }

  #state({ step, totalSteps, loss, seconds }: StepReport): string {
    const tokens = this.#recent.reduce((sum, item) => sum + item.tokens, 0);
    const spent = this.#recent.reduce((sum, item) => sum + item.seconds, 0);
    const left = step < totalSteps ? `  ${duration((seconds / step) * (totalSteps - step))} left` : "";
    return `loss ${decimal(loss)}  ${count(tokens / spent)} tokens/s${left}`;
  }
}

/** A bar on standard output that shows `state` behind its numbers, and goes away when it stops. */
export function makeBar(): cliProgress.SingleBar {
  return new cliProgress.SingleBar({
    format: "{bar} {value}/{total}  {state}",
    stream: process.stdout,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    barsize: 24,
    hideCursor: null,
    linewrap: true,
    forceRedraw: true,
    gracefulExit: false,
    clearOnComplete: true,
  });
}
