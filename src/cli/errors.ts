import { CommanderError } from "commander";
import { PolargradError } from "../tensor/errors.ts";
import { harmless } from "./terminal.ts";

/** Flags that cannot go together, or a value that does not fit what was found. */
export class UsageError extends PolargradError {
  override readonly name = "UsageError";
}

/** Ctrl-C stopped the work in an orderly way. */
export class InterruptedError extends PolargradError {
  override readonly name = "InterruptedError";
}

/** What the process tells its caller. */
export const EXIT = { fine: 0, failed: 1, interrupted: 130 } as const;

/**
 * Tell a person what went wrong: expected errors in one sentence, anything else with its stack and where to
 * report it.
 *
 * @param flags names of the command's flags; messages of the library name settings in camelCase, people
 * typed flags
 * @param write receives the lines
 * @returns the exit code
 */
export function reportError(error: unknown, flags: Iterable<string>, write: (line: string) => void): number {
  if (error instanceof CommanderError) return error.exitCode;
  if (error instanceof PolargradError) {
    write(`polargrad: ${harmless(inFlags(error.message, flags))}`);
    return error instanceof InterruptedError ? EXIT.interrupted : EXIT.failed;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  write(
    `polargrad: this should not have happened; please report it with the lines below\n${harmless(stack)}`,
  );
  return EXIT.failed;
}

const camelCase = (flag: string): string =>
  flag.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/**
 * A message of the library with `cutoffLen` and `target_modules` as people typed them: `--cutoff_len`,
 * `--target_modules`. Names of tensors and paths, such as `base_model.model`, stay as they are.
 */
export function inFlags(message: string, flags: Iterable<string>): string {
  let translated = message;
  for (const flag of flags) {
    if (!flag.includes("_")) continue;
    translated = translated.replace(
      new RegExp(`(?<![\\w./-])(?:${camelCase(flag)}|${flag})(?![\\w/]|\\.\\w)`, "g"),
      `--${flag}`,
    );
  }
  return translated;
}
