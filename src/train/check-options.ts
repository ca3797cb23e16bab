import { PolargradError } from "../tensor/errors.ts";

/**
 * Refuse options that do not exist: plain scripts, and hands used to PyTorch, write `weight_decay`.
 *
 * @throws PolargradError that names the option and those there are
 */
export function refuseUnknownOptions(what: string, given: object, known: readonly string[]): void {
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown === undefined) return;
  throw new PolargradError(
    `${what} got an unexpected option "${unknown}"; its options are ${known.join(", ")}`,
  );
}
