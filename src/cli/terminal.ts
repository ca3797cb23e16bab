/** Where a command prints: standard output, or a list in a test. */
export interface Terminal {
  /** True when people watch: then a bar may redraw its line, else only whole lines are written. */
  readonly isTTY: boolean;
  /** Write one line. */
  print(line?: string): void;
  /** Write text as it is, without a line break. */
  write(text: string): void;
}

/** Standard output of this process. */
export const stdout: Terminal = {
  isTTY: process.stdout.isTTY === true,
  print: (line = "") => process.stdout.write(`${line}\n`),
  write: (text) => process.stdout.write(text),
};

/** Control characters but line breaks and tabs, and the marks that reorder or hide text on a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
const STEERING = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/**
 * Text that came from a file or a model, without the characters that could steer a terminal. Line breaks
 * stay.
 */
export const harmless = (text: string): string => text.replace(STEERING, "");

/** `harmless`, on one line and at most `max` characters long. */
export function oneLine(text: string, max = 200): string {
  const line = harmless(text.replace(/\s+/g, " ")).trim();
  return line.length > max ? `${line.slice(0, max - 1)}…` : line;
}
