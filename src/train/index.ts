export { AdamW, type AdamWOptions, type ParamGroup, type ParamGroupInit } from "./adamw.ts";
export { clipGradients, clipGradNorm } from "./clip.ts";
export { getScheduler, scheduleFactor, type ScheduleName, type ScheduleOptions, type Scheduler } from "./schedule.ts";
export {
  evaluateLoss,
  type StepReport,
  type TrainableModel,
  Trainer,
  type TrainingArguments,
  TrainingError,
  type TrainingEvents,
} from "./trainer.ts";
