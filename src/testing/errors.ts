import { PolargradError } from "../tensor/errors.ts";

/** A derivative that disagrees with finite differences. Thrown by `gradcheck`. */
export class GradcheckError extends PolargradError {
  override readonly name = "GradcheckError";
  /** Position of the input among the arguments. */
  readonly input: number;
  /** Flat index of the element, or null when a random direction showed the error. */
  readonly index: number | null;
  readonly analytic: number;
  readonly numeric: number;

  constructor(input: number, index: number | null, analytic: number, numeric: number, where: string) {
    const place = `the derivative by input ${input}, ${where},`;
    super(`gradcheck: ${place} is ${analytic} by backward but ${numeric} by finite differences`);
    this.input = input;
    this.index = index;
    this.analytic = analytic;
    this.numeric = numeric;
  }
}

/** A law of `opLaws` that an op breaks. */
export class LawError extends PolargradError {
  override readonly name = "LawError";
  readonly op: string;

  constructor(op: string, why: string, options?: ErrorOptions) {
    super(why.startsWith(`${op}: `) ? why : `${op}: ${why}`, options);
    this.op = op;
  }
}
