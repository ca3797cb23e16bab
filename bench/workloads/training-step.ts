import type { Tensor } from "../../src/index.ts";

/** Queues one optimizer step and gives its loss, which the caller waits for and disposes of. */
export type TrainingStep = () => Tensor;
