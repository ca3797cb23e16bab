import { PolargradError } from "../tensor/errors.ts";

/** Training cannot go on: the loss or the gradient is not finite, or there is nothing to train. */
export class TrainingError extends PolargradError {
  override readonly name = "TrainingError";
}
