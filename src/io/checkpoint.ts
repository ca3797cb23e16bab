import { PolargradError } from "../tensor/errors.ts";
import { exists, joinPath, plainFileName, readBytes, readJson, refuseLinkOutside } from "./files.ts";
import { quote, quoteValue } from "./quote.ts";
import { SafetensorsError } from "./safetensors-error.ts";
import { parseSafetensors, type SafetensorsFile, type SafetensorsTensor } from "./safetensors-read.ts";

/** Why a checkpoint directory could not be read. */
export type CheckpointErrorCode = "missing" | "pickle" | "bad-index" | "index-mismatch";

/** A checkpoint directory that holds no readable weights, or whose index and shards disagree. */
export class CheckpointError extends PolargradError {
  override readonly name = "CheckpointError";
  readonly code: CheckpointErrorCode;
  readonly file: string;
  readonly tensor: string | undefined;

  constructor(code: CheckpointErrorCode, file: string, why: string, tensor?: string) {
    super(`${file}: ${why}`);
    this.code = code;
    this.file = file;
    this.tensor = tensor;
  }
}

/** The weights of a checkpoint, by state-dict key. */
export interface Checkpoint {
  readonly tensors: Map<string, SafetensorsTensor>;
}

const WEIGHTS = "model.safetensors";
const INDEX = "model.safetensors.index.json";
const PICKLES = [
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
  "model.bin",
  "consolidated.00.pth",
  "model.pt",
];
const CONVERT =
  "pickle files can run code and are never read; convert it with transformers: " +
  "AutoModelForCausalLM.from_pretrained(dir).save_pretrained(dir, safe_serialization=True)";

/**
 * Read the weights in a directory of Hugging Face's layout: `model.safetensors`, or the shards that
 * `model.safetensors.index.json` names. All shards are read and checked before anything is returned.
 *
 * @throws CheckpointError if there are no such files, or index and shards disagree; FileError;
 * SafetensorsError
 */
export async function readCheckpoint(dir: string): Promise<Checkpoint> {
  const weights = joinPath(dir, WEIGHTS);
  if (await exists(weights)) return { tensors: (await readSafetensors(weights)).tensors };
  if (await exists(joinPath(dir, INDEX))) return { tensors: await readShards(dir) };
  for (const name of PICKLES) {
    const pickle = joinPath(dir, name);
    if (await exists(pickle)) throw new CheckpointError("pickle", pickle, CONVERT);
  }
  const found = (await exists(dir)) ? `neither ${WEIGHTS} nor ${INDEX} is there` : "no such directory";
  throw new CheckpointError("missing", dir, `expected a checkpoint directory, but ${found}`);
}

/**
 * Read and parse one safetensors file; errors name it.
 *
 * @throws FileError, SafetensorsError, CheckpointError (`pickle`) if the content is a pickle or a PyTorch
 * archive
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  const bytes = await readBytes(path, "a safetensors file");
  try {
    return parseSafetensors(bytes);
  } catch (error) {
    if (!(error instanceof SafetensorsError)) throw error;
    if (error.code === "header-too-large" && isPickle(bytes)) {
      throw new CheckpointError("pickle", path, `is a PyTorch file, not safetensors; ${CONVERT}`);
    }
    throw error.inFile(path);
  }
}

/** A pickle of protocol 2 to 5, or the zip archive that PyTorch wraps around one. */
function isPickle(bytes: Uint8Array): boolean {
  const isZip = bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
  return isZip || (bytes[0] === 0x80 && bytes[1] >= 2 && bytes[1] <= 5);
}

async function readShards(dir: string): Promise<Map<string, SafetensorsTensor>> {
  const indexPath = joinPath(dir, INDEX);
  const weightMap = parseIndex(await readJson(indexPath, "the index of a sharded checkpoint"), indexPath);
  const shards = new Set(weightMap.values());
  for (const shard of shards) await refuseLinkOutside(dir, shard, indexPath);
  const tensors = new Map<string, SafetensorsTensor>();
  for (const shard of shards) {
    const path = joinPath(dir, shard);
    for (const [name, tensor] of (await readSafetensors(path)).tensors) {
      const expected = weightMap.get(name);
      if (expected !== shard) {
        const where = expected === undefined ? "does not list it" : `expects it in ${expected}`;
        const why = `holds tensor ${quote(name)}, but ${INDEX} ${where}`;
        throw new CheckpointError("index-mismatch", path, why, name);
      }
      tensors.set(name, tensor);
    }
  }
  for (const [name, shard] of weightMap) {
    if (!tensors.has(name)) {
      const why = `expects tensor ${quote(name)} in ${shard}, which does not hold it`;
      throw new CheckpointError("index-mismatch", indexPath, why, name);
    }
  }
  return tensors;
}

/** The index's `weight_map`, tensor name to shard, every shard a plain file name. */
function parseIndex(json: unknown, indexPath: string): Map<string, string> {
  const isObject = (value: unknown): value is object =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  const map =
    isObject(json) && Object.hasOwn(json, "weight_map") && "weight_map" in json ? json.weight_map : undefined;
  if (!isObject(map)) {
    const why = `expected an object weight_map, got ${quoteValue(map)}`;
    throw new CheckpointError("bad-index", indexPath, why);
  }
  const weightMap = new Map<string, string>();
  for (const [name, shard] of Object.entries(map) as [string, unknown][]) {
    if (typeof shard !== "string") {
      const why = `weight_map[${quote(name)}] must be a file name, got ${quoteValue(shard)}`;
      throw new CheckpointError("bad-index", indexPath, why, name);
    }
    plainFileName(shard, indexPath);
    if (!shard.endsWith(".safetensors")) {
      const why = `weight_map[${quote(name)}] must name a .safetensors file, got ${quote(shard)}`;
      throw new CheckpointError("bad-index", indexPath, why, name);
    }
    weightMap.set(name, shard);
  }
  return weightMap;
}
