import { WrongResult } from "./errors.ts";

/** Losses must be the published ones. @returns what was checked @throws WrongResult */
export function expectLosses(losses: readonly number[], expected: Readonly<Record<number, number>>, tolerance = 1e-4): string {
  const steps = Object.keys(expected).map(Number).filter((step) => step < losses.length);
  if (steps.length === 0) throw new WrongResult("no step ran whose loss is known");
  for (const step of steps) {
    if (Math.abs(losses[step] - expected[step]) <= tolerance) continue;
    throw new WrongResult(`the loss of step ${step} is ${losses[step]}, not ${expected[step]}`);
  }
  return `losses ${steps.map((step) => losses[step].toFixed(5)).join(", ")} (steps ${steps.join(", ")})`;
}

/** Largest relative difference allowed between the losses of two programs that start alike: of the first step, and of later ones. */
export const AGREEMENT = { first: 1e-4, later: 1e-3 };

/** Two programs that start alike must have the same losses. @returns what was checked @throws WrongResult */
export function expectAgreement(ours: readonly number[], theirs: readonly number[], name: string): string {
  const steps = Math.min(ours.length, theirs.length);
  if (steps === 0) throw new WrongResult("no step ran in both programs");
  let worst = 0;
  for (let step = 0; step < steps; step++) {
    const difference = Math.abs(ours[step] - theirs[step]) / Math.abs(theirs[step]);
    worst = Math.max(worst, difference);
    if (difference <= (step === 0 ? AGREEMENT.first : AGREEMENT.later)) continue;
    throw new WrongResult(`the loss of step ${step} is ${ours[step]}, but ${theirs[step]} in ${name}`);
  }
  return `${steps} losses as ${name}'s, within ${worst.toExponential(1)}`;
}

/** An untrained model knows nothing: its loss is near ln(vocabulary). @returns what was checked @throws WrongResult */
export function expectUntrained(loss: number, vocabulary: number): string {
  const blind = Math.log(vocabulary);
  if (Math.abs(loss - blind) <= 0.5) return `first loss ${loss.toFixed(3)}, ln(vocabulary) ${blind.toFixed(3)}`;
  throw new WrongResult(`the first loss is ${loss}, far from ln(${vocabulary}) = ${blind.toFixed(3)}`);
}

/** A relative error must be small. @returns what was checked @throws WrongResult */
export function expectSmall(error: number, limit: number): string {
  if (error <= limit) return `error ${error.toExponential(1)}`;
  throw new WrongResult(`the relative error is ${error}, above ${limit}`);
}
