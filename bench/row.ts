/** What a row measured. A figure whose error is too large is not given: `run` throws. */
export interface Measurement {
  readonly figure: number;
  readonly unit: string;
  /** Largest deviation from the f64 result, relative to its largest element. */
  readonly error: number;
  /** What it ran on. */
  readonly on: string;
  /** Why it was not measured; absent when it was. */
  readonly skipped?: string;
}

/** A line of the table. */
export interface Row {
  readonly name: string;
  readonly about: string;
  run(): Promise<Measurement>;
}

/** A measurement with its row's name. */
export type RowResult = Measurement & { readonly name: string };
