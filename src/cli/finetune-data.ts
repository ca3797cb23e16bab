import { lstatSync } from "node:fs";
import { access, constants, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import {
  type EncodedRow,
  encodeRows,
  exists,
  FileError,
  splitRows,
  type TextRow,
  type Tokenizer,
} from "../io/index.ts";
import { inFlags, UsageError } from "./errors.ts";
import { FINETUNE_FLAGS, type FinetuneFlags, type FinetuneSettings } from "./finetune-flags.ts";
import { count, counted } from "./format.ts";

/** Rows to train on and rows held out. */
export interface PreparedRows {
  readonly train: readonly EncodedRow[];
  readonly heldOut: readonly EncodedRow[];
}

/** What encoding and splitting depend on. */
export interface DataPlan {
  readonly settings: FinetuneSettings;
  readonly given: FinetuneFlags;
  /** Positions that the model was trained for. */
  readonly maxPositions: number;
  /** Hears what was decided other than asked for. */
  readonly note: (text: string) => void;
}

/** Token ids of the rows, split into training and held-out ones. @throws DatasetError, UsageError */
export function prepareRows(rows: readonly TextRow[], tokenizer: Tokenizer, plan: DataPlan): PreparedRows {
  const { settings, note } = plan;
  const warn = (text: string): void => note(inFlags(text, Object.keys(FINETUNE_FLAGS)));
  const encoded = encodeRows(rows, tokenizer, { cutoffLen: cutoffOf(plan), warn });
  const held = heldOutCount(encoded.length, plan);
  if (held === 0) note("no rows are held out, so there is no evaluation");
  const { train, val } = splitRows(encoded, held, settings.seed);
  return { train, heldOut: val };
}

/** The longest row. A default beyond what the model was trained for is lowered, a given value is obeyed. */
function cutoffOf({ settings, given, maxPositions, note }: DataPlan): number {
  const asked = settings.cutoff_len;
  if (asked <= maxPositions) return asked;
  if (given.cutoff_len === undefined) {
    note(`--cutoff_len is ${maxPositions} here: the model was trained for no more positions`);
    return maxPositions;
  }
  note(`--cutoff_len ${asked} is beyond the ${maxPositions} positions that the model was trained for`);
  return asked;
}

/**
 * How many rows to hold out. The default becomes a tenth of a small data set, a given value that is too
 * large is an error.
 */
function heldOutCount(rows: number, { settings, given, note }: DataPlan): number {
  const asked = settings.val_set_size;
  if (asked < rows) return asked;
  if (given.val_set_size !== undefined) {
    const most = rows > 1 ? `; hold out ${rows - 1} or fewer` : "";
    throw new UsageError(
      `--val_set_size ${asked} leaves nothing to train on: the data has ${counted(rows, "row")}${most}`,
    );
  }
  if (rows === 1) return 0;
  const held = Math.max(1, Math.floor(rows / 10));
  note(
    `--val_set_size is ${count(held)} here, a tenth of the ${count(rows)} rows (the default of ${count(asked)} is too many)`,
  );
  return held;
}

/** What is read must not be written over. @throws UsageError when `output` is one of the directories */
export function mustDiffer(output: string, inputs: readonly string[]): void {
  if (!inputs.some((dir) => resolve(dir) === resolve(output))) return;
  throw new UsageError(`--output_dir ${output} is what is read; give another directory, so that nothing is overwritten`);
}

/** Stop before any work when `dir` cannot be written to. @throws FileError */
export async function mustBeWritable(dir: string): Promise<void> {
  const target = resolve(dir);
  let nearest = target;
  let missing = target;
  while (!(await exists(nearest)) && dirname(nearest) !== nearest) {
    missing = nearest;
    nearest = dirname(nearest);
  }
  if (!(await stat(nearest)).isDirectory()) {
    const what =
      nearest === target
        ? "--output_dir should be a directory, found a file"
        : "--output_dir lies below it, but it is a file";
    throw new FileError("not-a-directory", nearest, what);
  }
  if (missing !== nearest && lstatSync(missing, { throwIfNoEntry: false })) {
    throw new FileError("not-a-directory", missing, "--output_dir leads to a link whose target does not exist");
  }
  try {
    await access(nearest, constants.W_OK);
  } catch (cause) {
    throw new FileError(
      "failed",
      nearest,
      "--output_dir cannot be written: no permission for this directory",
      cause,
    );
  }
}
