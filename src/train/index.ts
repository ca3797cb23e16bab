export { AdamW, type AdamWOptions, type ParamGroup, type ParamGroupInit } from "./adamw.ts";
export { clipGradients, clipGradNorm } from "./clip.ts";
export type { TrainableModel } from "./micro-batches.ts";
export { getScheduler, scheduleFactor, type ScheduleName, type ScheduleOptions, type Scheduler } from "./schedule.ts";
export {
  evaluateLoss,
  type StepReport,
  Trainer,
  type TrainingArguments,
  type TrainingEvents,
} from "./trainer.ts";
export { TrainingError } from "./training-error.ts";
