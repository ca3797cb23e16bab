import { noGrad, tidy } from "../ops/index.ts";
import { collate, type EncodedRow, IGNORE_LABEL } from "../io/index.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { AdamW } from "./adamw.ts";
import { batchesOf, shuffled } from "./batch-order.ts";
import { clipGradients } from "./clip.ts";
import { type MicroBatches, microBatchesOf, type TrainableModel } from "./micro-batches.ts";
import { getScheduler, type ScheduleName, type Scheduler } from "./schedule.ts";
import { TrainingError } from "./training-error.ts";

/** Settings of a run; defaults are those of transformers' Trainer where it has the same. */
export interface TrainingArguments {
  /** Rows of a micro-batch, in training and evaluation. Default 8. */
  readonly batchSize?: number;
  /** Micro-batches of an optimizer step. Default 1. */
  readonly gradientAccumulationSteps?: number;
  /** Passes over the rows. Default 3. */
  readonly numEpochs?: number;
  /** Optimizer steps at most; overrides `numEpochs` when above 0. */
  readonly maxSteps?: number;
  /** Default 5e-5. */
  readonly learningRate?: number;
  /** Default `linear`. */
  readonly schedule?: ScheduleName;
  /** Share of the steps that warm up, rounded up. Default 0. */
  readonly warmupRatio?: number;
  /** Default 0. */
  readonly weightDecay?: number;
  /** Learning rate of the strengths λ, on the same schedule. Default: `learningRate`, as in PEFT. */
  readonly strengthLearningRate?: number | null;
  /** Weight decay of the strengths λ. Default: `weightDecay`, as in PEFT, where it shrinks the bound of the update. */
  readonly strengthWeightDecay?: number | null;
  /** Bound of the gradients' joint norm; 0 turns clipping off. Default 1. */
  readonly maxGradNorm?: number;
  /** Evaluate every so many steps, and after the last. Default 0: never. */
  readonly evalSteps?: number;
  /** Save every so many steps. Default 0: never. */
  readonly saveSteps?: number;
  /** Order of the rows. Default 42. */
  readonly seed?: number;
  /** Id that pads short rows; its positions are masked. Default 0. */
  readonly padTokenId?: number;
}

/** One optimizer step. */
export interface StepReport {
  /** 1-based. */
  readonly step: number;
  readonly totalSteps: number;
  /** Epochs done, with a fraction. */
  readonly epoch: number;
  /** Mean cross-entropy over the step's label tokens, in nats. */
  readonly loss: number;
  /** Joint norm of the gradients before clipping. */
  readonly gradNorm: number;
  /** The learning rate that this step used. */
  readonly learningRate: number;
  /** Tokens that went through the model in this step, padding excluded. */
  readonly tokens: number;
  /** Seconds since training began. */
  readonly seconds: number;
}

/** What happens during `train`; each may be async and is waited for. */
export interface TrainingEvents {
  onStep?(report: StepReport): void | Promise<void>;
  /** `loss`: mean over the label tokens of the held-out rows. */
  onEvaluate?(report: { readonly step: number; readonly loss: number }): void | Promise<void>;
  onSave?(report: { readonly step: number }): void | Promise<void>;
}

type Settings = Required<TrainingArguments>;

const DEFAULTS: Settings = {
  batchSize: 8,
  gradientAccumulationSteps: 1,
  numEpochs: 3,
  maxSteps: 0,
  learningRate: 5e-5,
  schedule: "linear",
  warmupRatio: 0,
  weightDecay: 0,
  strengthLearningRate: null,
  strengthWeightDecay: null,
  maxGradNorm: 1,
  evalSteps: 0,
  saveSteps: 0,
  seed: 42,
  padTokenId: 0,
};

/** Labels that the shifted loss counts. */
const labelTokens = (rows: readonly EncodedRow[]): number =>
  rows.reduce((sum, { labels }) => sum + labels.slice(1).filter((label) => label !== IGNORE_LABEL).length, 0);

const countTokens = (rows: readonly EncodedRow[]): number => rows.reduce((sum, { inputIds }) => sum + inputIds.length, 0);

/** Trains the parameters of a model that require a gradient, by the rules of transformers' Trainer. */
export class Trainer {
  readonly #model: TrainableModel;
  readonly #rows: readonly EncodedRow[];
  readonly #evalRows: readonly EncodedRow[];
  readonly #settings: Settings;
  readonly #trainable: Parameter[];

  /** @throws TrainingError when no parameter requires a gradient, there are no rows, or a setting is out of range */
  constructor(model: TrainableModel, rows: readonly EncodedRow[], args: TrainingArguments = {}, evalRows: readonly EncodedRow[] = []) {
    this.#model = model;
    this.#rows = rows;
    this.#evalRows = evalRows;
    this.#settings = checked({ ...DEFAULTS, ...args });
    this.#trainable = model.parameters().filter((parameter) => parameter.requiresGrad);
    if (rows.length === 0) throw new TrainingError("there are no rows to train on");
    if (this.#trainable.length === 0) throw new TrainingError("no parameter of the model requires a gradient; nothing would be trained");
  }

  /** Optimizer steps of an epoch; a last incomplete group counts. */
  get stepsPerEpoch(): number {
    const { batchSize, gradientAccumulationSteps } = this.#settings;
    return Math.ceil(Math.ceil(this.#rows.length / batchSize) / gradientAccumulationSteps);
  }

  /** Optimizer steps of the run. */
  get totalSteps(): number {
    const { maxSteps, numEpochs } = this.#settings;
    return maxSteps > 0 ? maxSteps : Math.ceil(numEpochs * this.stepsPerEpoch);
  }

  /**
   * Run the training. The model is left in eval mode, its gradients cleared.
   *
   * @throws TrainingError when the loss or the gradient norm is not finite: nothing is updated in that step
   */
  async train(events: TrainingEvents = {}): Promise<void> {
    const { schedule, warmupRatio, evalSteps, saveSteps } = this.#settings;
    const total = this.totalSteps;
    const optimizer = this.#optimizer();
    const microBatches = microBatchesOf(this.#model, this.#trainable);
    const scheduler = getScheduler(schedule, optimizer, { numWarmupSteps: Math.ceil(warmupRatio * total), numTrainingSteps: total });
    const began = performance.now();
    try {
      let step = 0;
      for (const group of this.#groups()) {
        this.#model.train();
        const report = await this.#step(group, { microBatches, optimizer, scheduler }, ++step);
        await events.onStep?.({ ...report, seconds: (performance.now() - began) / 1000 });
        if (evalSteps > 0 && this.#evalRows.length > 0 && (step % evalSteps === 0 || step === total)) {
          await events.onEvaluate?.({ step, loss: await this.evaluate() });
        }
        if (saveSteps > 0 && step % saveSteps === 0) await events.onSave?.({ step });
      }
    } finally {
      optimizer.zeroGrad();
      optimizer.dispose();
      microBatches.dispose();
      this.#model.eval();
    }
  }

  /** Mean loss over the label tokens of `rows` (default: the held-out rows), in eval mode and without a graph. */
  async evaluate(rows: readonly EncodedRow[] = this.#evalRows): Promise<number> {
    const { batchSize, padTokenId } = this.#settings;
    return evaluateLoss(this.#model, rows, { batchSize, padTokenId });
  }

  /** AdamW, with the strengths in a group of their own; the others' learning rate is the first group's. */
  #optimizer(): AdamW {
    const { learningRate, weightDecay, strengthLearningRate, strengthWeightDecay } = this.#settings;
    const all = new Set(this.#model.strengthParameters?.());
    const strengths = this.#trainable.filter((parameter) => all.has(parameter));
    const others = this.#trainable.filter((parameter) => !all.has(parameter));
    const own = { lr: strengthLearningRate ?? learningRate, weightDecay: strengthWeightDecay ?? weightDecay };
    const groups = [
      { params: others, lr: learningRate, weightDecay },
      { params: strengths, ...own },
    ];
    return new AdamW(groups.filter(({ params }) => params.length > 0));
  }

  /** The micro-batches of each optimizer step, epoch after epoch. */
  *#groups(): Generator<EncodedRow[][]> {
    const { batchSize, gradientAccumulationSteps, seed } = this.#settings;
    let left = this.totalSteps;
    for (let epoch = 0; left > 0; epoch++) {
      const batches = batchesOf(shuffled(this.#rows, seed, epoch), batchSize);
      for (const group of batchesOf(batches, gradientAccumulationSteps)) {
        if (left-- <= 0) return;
        yield group;
      }
    }
  }

  async #step(group: readonly EncodedRow[][], run: Run, step: number): Promise<Omit<StepReport, "seconds">> {
    const { microBatches, optimizer, scheduler } = run;
    const { maxGradNorm } = this.#settings;
    const items = labelTokens(group.flat());
    if (items === 0) throw new TrainingError(`step ${step}: no label token in this batch; every label is ${IGNORE_LABEL}`);
    const loss = await this.#gradients(group, microBatches, items);
    const norm = clipGradients(optimizer.paramGroups.flatMap(({ params }) => params), maxGradNorm > 0 ? maxGradNorm : Number.MAX_VALUE);
    const gradNorm = norm ? await norm.item() : 0;
    norm?.dispose();
    const [learningRate] = scheduler.getLastLr();
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) {
      throw new TrainingError(
        `step ${step}: the loss is ${loss} and the gradient norm ${gradNorm}; nothing was updated. ${learningRate > 0 ? `Lower the learning rate (now ${learningRate}) or check` : "Check"} the data and the weights`,
      );
    }
    optimizer.step();
    optimizer.zeroGrad();
    scheduler.step();
    const epoch = step / this.stepsPerEpoch;
    return { step, totalSteps: this.totalSteps, epoch, loss, gradNorm, learningRate, tokens: countTokens(group.flat()) };
  }

  /** Forward and backward of the micro-batches; the step's loss. */
  async #gradients(group: readonly EncodedRow[][], microBatches: MicroBatches, numItemsInBatch: number): Promise<number> {
    const { padTokenId } = this.#settings;
    const losses: Tensor[] = [];
    microBatches.begin();
    for (const rows of group) {
      losses.push(microBatches.run({ ...collate(rows, padTokenId, LENGTH_MULTIPLE), numItemsInBatch }));
      await eventLoopTurn();
    }
    microBatches.finish();
    const values = await Promise.all(losses.map((loss) => loss.item()));
    for (const loss of losses) loss.dispose();
    return values.reduce((sum, value) => sum + value, 0);
  }
}

/** Lengths that micro-batches are padded to, so that shapes come again and their work can be replayed; on every device, for the same dropout. */
const LENGTH_MULTIPLE = 8;

/** What a run works with. */
interface Run {
  readonly microBatches: MicroBatches;
  readonly optimizer: AdamW;
  readonly scheduler: Scheduler;
}

/** Let timers and signals (Ctrl-C) have their turn: on the CPU a step never waits for anything. */
const eventLoopTurn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/** Mean cross-entropy of a model over the label tokens of `rows`, in nats; the model is left in eval mode. */
export async function evaluateLoss(
  model: TrainableModel,
  rows: readonly EncodedRow[],
  { batchSize = 8, padTokenId = 0 }: { readonly batchSize?: number; readonly padTokenId?: number } = {},
): Promise<number> {
  const items = labelTokens(rows);
  if (items === 0) throw new TrainingError("there is no label token to evaluate on");
  model.eval();
  let total = 0;
  for (const group of batchesOf(rows, batchSize)) {
    const loss = noGrad(() => tidy(() => model.forward({ ...collate(group, padTokenId), numItemsInBatch: items }).loss));
    if (!loss) throw new TrainingError("the model gave no loss for a batch with labels");
    total += await loss.item();
    loss.dispose();
  }
  return total;
}

function checked(settings: Settings): Settings {
  const whole: (keyof Settings)[] = ["batchSize", "gradientAccumulationSteps"];
  for (const name of whole) {
    const value = settings[name] as number;
    if (!Number.isInteger(value) || value < 1) throw new TrainingError(`${name} must be a whole number of at least 1, got ${value}`);
  }
  const positive: (keyof Settings)[] = [
    "numEpochs",
    "learningRate",
    "weightDecay",
    "strengthLearningRate",
    "strengthWeightDecay",
    "maxGradNorm",
    "warmupRatio",
    "evalSteps",
    "saveSteps",
    "maxSteps",
  ];
  for (const name of positive) {
    const value = (settings[name] ?? 0) as number;
    if (!(value >= 0) || !Number.isFinite(value)) throw new TrainingError(`${name} must be a number of at least 0, got ${value}`);
  }
  return settings;
}
