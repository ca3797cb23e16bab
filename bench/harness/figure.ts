import { NotHere, WrongResult } from "./errors.ts";

/** Levels that a number is held against. */
export interface Target {
  readonly better: "higher" | "lower";
  readonly reach: number;
  /** Level of a first version. */
  readonly firstLook?: number;
}

/** A number with what it was gated on and what it is held against. */
export interface Measurement {
  readonly value: number;
  readonly unit: string;
  /** The same work by another program in the same run. */
  readonly peer?: { readonly name: string; readonly value: number };
  /** Levels of `value`, or of `value` over the peer's. */
  readonly targets?: { readonly value?: Target; readonly ratio?: Target };
  /** What was checked before the number was believed, in words. */
  readonly check: string;
  /** Adapter, engine, threads. */
  readonly on: string;
  /** Further numbers for the JSON file. */
  readonly details?: Readonly<Record<string, number | string>>;
}

/** A line of the table: a number, or why there is none. */
export type Figure = { readonly name: string } & (
  | ({ readonly status: "measured" } & Measurement)
  | { readonly status: "failed" | "not run"; readonly reason: string }
);

/** How a figure stands to its targets. */
export type Verdict = "reached" | "first look" | "short" | "";

/** Figures of one name, or the reason why they could not be had; anything unforeseen passes through. */
export async function figures(name: string, measure: () => Promise<readonly (Measurement & { readonly name?: string })[]>): Promise<Figure[]> {
  try {
    const measured = await measure();
    return measured.map((one) => ({ ...one, name: one.name ? `${name}, ${one.name}` : name, status: "measured" }));
  } catch (error) {
    if (error instanceof WrongResult) return [{ name, status: "failed", reason: error.message }];
    if (error instanceof NotHere) return [{ name, status: "not run", reason: error.message }];
    throw error;
  }
}

/** Value over the peer's value; null without a peer. */
export const ratioOf = ({ value, peer }: Measurement): number | null => (peer ? value / peer.value : null);

/** The worse of the verdicts on value and ratio. A ratio that could not be had decides nothing. */
export function verdictOf(measurement: Measurement): Verdict {
  const ratio = ratioOf(measurement);
  const { targets = {} } = measurement;
  const levels = [targets.value && levelOf(measurement.value, targets.value), ratio !== null && targets.ratio && levelOf(ratio, targets.ratio)];
  const worst = Math.min(...levels.filter((level) => typeof level === "number"));
  return (["short", "first look", "reached"] as const)[worst] ?? "";
}

function levelOf(value: number, { better, reach, firstLook }: Target): 0 | 1 | 2 {
  const meets = (level: number): boolean => (better === "higher" ? value >= level : value <= level);
  if (meets(reach)) return 2;
  return firstLook !== undefined && meets(firstLook) ? 1 : 0;
}
