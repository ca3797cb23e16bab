import { dropout } from "../ops/index.ts";
import { PolargradError } from "../tensor/errors.ts";
import { nextStream } from "../tensor/generator.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Module } from "./module.ts";

/**
 * In training mode, zeroes each element with probability `p` and divides the others by 1 - p; else the
 * identity.
 */
export class Dropout extends Module {
  /** From 0 to 1. */
  readonly p: number;

  constructor(p = 0.5) {
    super();
    if (!(p >= 0 && p <= 1)) throw new PolargradError(`Dropout: p must be from 0 to 1, got ${p}`);
    this.p = p;
  }

  /** x of any shape -> y of the same */
  forward(x: Tensor): Tensor {
    return this.training && this.p > 0 ? dropout(x, { p: this.p, ...nextStream() }) : x;
  }
}
