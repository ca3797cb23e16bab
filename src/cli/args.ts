import { Option } from "commander";
import { UsageError } from "./errors.ts";

/** One flag of a command: how its value is read and described. */
export interface Flag<T> {
  /** Placeholder of the value in the help; null for a switch, which takes none. */
  readonly value: string | null;
  readonly help: string;
  /** The value of what was typed behind the flag `name`. @throws UsageError when it is none */
  readonly parse: (typed: string, name: string) => T;
}

/** Flags of a command by their snake_case names. */
export type Flags = Readonly<Record<string, Flag<unknown>>>;

/** The values of flags that were given. */
export type Given<F extends Flags> = { readonly [K in keyof F]?: ReturnType<F[K]["parse"]> };

/** Other names of flags. */
const ALIASES: Readonly<Record<string, string>> = { delora_target_modules: "target_modules" };

function refuse(name: string, expected: string, typed: string): never {
  throw new UsageError(`--${name} must be ${expected}, got ${JSON.stringify(typed)}`);
}

const isNumber = (typed: string): boolean => /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(typed.trim());

/** Limits of a number: above or from `low`, below or up to `high`. */
export interface Range {
  readonly low: number;
  readonly high?: number;
  /** The limit that is not allowed itself. Default: neither. */
  readonly open?: "low" | "high";
}

/** A flag with a number in a range. */
export function number(
  value: string,
  help: string,
  { low, high = Number.POSITIVE_INFINITY, open }: Range,
): Flag<number> {
  const upper =
    high < Number.POSITIVE_INFINITY ? ` and ${open === "high" ? "below" : "at most"} ${high}` : "";
  const expected = `a number ${open === "low" ? "above" : "of at least"} ${low}${upper}`;
  const parse = (typed: string, name: string): number => {
    const parsed = isNumber(typed) ? Number(typed) : Number.NaN;
    const isInside = Number.isFinite(parsed) && parsed >= low && parsed <= high;
    return isInside && !(open === "low" && parsed === low) && !(open === "high" && parsed === high)
      ? parsed
      : refuse(name, expected, typed);
  };
  return { value, help, parse };
}

/** A flag with a whole number from `low` on. */
export function whole(value: string, help: string, low: number): Flag<number> {
  const parse = (typed: string, name: string): number => {
    const parsed = isNumber(typed) ? Number(typed) : Number.NaN;
    return Number.isSafeInteger(parsed) && parsed >= low
      ? parsed
      : refuse(name, `a whole number of at least ${low}`, typed);
  };
  return { value, help, parse };
}

/** A flag with text that is not empty. */
export function text(value: string, help: string): Flag<string> {
  return {
    value,
    help,
    parse: (typed, name) => (typed === "" ? refuse(name, "text that is not empty", typed) : typed),
  };
}

/** A flag with one of a few words. */
export function choice<const W extends string>(words: readonly W[], help: string): Flag<W> {
  const parse = (typed: string, name: string): W =>
    words.find((word) => word === typed) ?? refuse(name, `one of ${words.join(", ")}`, typed);
  return { value: words.join("|"), help, parse };
}

/** A flag with names between commas. */
export function list(value: string, help: string): Flag<readonly string[]> {
  const parse = (typed: string, name: string): readonly string[] => {
    const names = typed
      .split(",")
      .map((name) => name.trim())
      .filter((name) => name !== "");
    return names.length > 0 ? names : refuse(name, "names between commas", typed);
  };
  return { value, help, parse };
}

/** A flag without a value. */
export const toggle = (help: string): Flag<boolean> => ({ value: null, help, parse: () => true });

/** Commander's options for a table of flags. */
export function optionsOf(flags: Flags): Option[] {
  return Object.entries(flags).map(([name, { value, help, parse }]) => {
    const option = new Option(value === null ? `--${name}` : `--${name} <${value}>`, help);
    return value === null ? option : option.argParser((typed: string) => parse(typed, name));
  });
}

/**
 * The arguments with every known flag in snake_case: `--base-model` and `--delora-target-modules=v_proj`
 * become `--base_model` and `--target_modules=v_proj`. Values and unknown flags stay as they are.
 */
export function normaliseArgs(args: readonly string[], flags: Flags): string[] {
  const normal: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const [, name, value] = /^--([^=]+)(=.*)?$/s.exec(args[i]) ?? [];
    const spelled = (name ?? "").replaceAll("-", "_");
    const known = ALIASES[spelled] ?? spelled;
    if (!Object.hasOwn(flags, known)) {
      normal.push(args[i]);
      continue;
    }
    normal.push(`--${known}${value ?? ""}`);
    if (flags[known].value !== null && value === undefined && i + 1 < args.length) normal.push(args[++i]);
  }
  return normal;
}
