import type { Figure } from "./figure.ts";
import type { Machine } from "./machine.ts";

/** A part of the table that can be run alone. */
export interface Row {
  /** What `--only` calls it. */
  readonly name: string;
  readonly about: string;
  /** Run only when named. */
  readonly onRequest?: boolean;
  run(): Promise<Figure[]>;
}

/** A row's figures, as they are kept. */
export interface RowResult {
  readonly row: string;
  readonly about: string;
  readonly machine: Machine;
  /** Cores that other processes kept busy during the contests, on average; null when nothing ran. */
  readonly othersCores: number | null;
  readonly figures: readonly Figure[];
}
