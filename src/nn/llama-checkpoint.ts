import {
  joinPath,
  type LlamaConfig,
  llamaConfigToJson,
  parseLlamaConfig,
  readCheckpoint,
  readJson,
  type SafetensorsTensor,
  serializeSafetensors,
  writeDirectoryFiles,
} from "../io/index.ts";
import { quote } from "../io/quote.ts";
import { fromArray } from "../ops/device.ts";
import { to } from "../ops/index.ts";
import { PolargradError } from "../tensor/errors.ts";
import { Parameter } from "../tensor/parameter.ts";
import { BLOCK, isStored } from "../tensor/dtype.ts";
import type { Device } from "../tensor/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { dtypeFor, elementsAs, fitsBlocks, savedTensors, type WeightFormat } from "./llama-weights.ts";
import type { Module } from "./module.ts";
import { compareStateDicts, StateDictError } from "./state-dict.ts";

const CONFIG = "config.json";
const WEIGHTS = "model.safetensors";
const FLOATS = ["F32", "F16", "BF16", "F64"];

/** The architecture in a checkpoint directory. @throws FileError, ConfigError */
export async function readLlamaConfig(dir: string): Promise<LlamaConfig> {
  return parseLlamaConfig(await readJson(joinPath(dir, CONFIG), `the configuration of a Llama (${CONFIG})`));
}

/**
 * Give every parameter of `model` its value from the checkpoint in `dir`, in the asked format. All names,
 * shapes and dtypes are checked before the first is assigned; tensors that the model has no place for are left
 * out with a warning. A model with weights in a stored format is frozen as a whole: half of it would train in
 * silence.
 */
export async function loadWeights(
  model: Module,
  dir: string,
  { device, ...format }: WeightFormat & { readonly device: Device },
): Promise<void> {
  const stored = (await readCheckpoint(dir)).tensors;
  // Written by old versions of transformers; follows from the configuration.
  const offered = new Map([...stored].filter(([name]) => !name.endsWith("rotary_emb.inv_freq")));
  const own = model.stateDict();
  const problems = compareStateDicts(own, offered);
  if (problems.missing.length + problems.mismatched.length > 0) {
    throw new StateDictError(`the checkpoint in ${dir}`, `the Llama in its ${CONFIG}`, problems);
  }
  for (const name of problems.unexpected) offered.delete(name);
  if (problems.unexpected.length > 0) warnUnused(problems.unexpected, dir);
  checkDTypes(offered, dir);
  checkAliases(own, offered, dir);
  if (format.quantize) warnUnquantized(offered, format.quantize, dir);
  if ([...offered.values()].some((source) => isStored(dtypeFor(source, format)))) model.requiresGrad_(false);
  const done = new Set<Tensor>();
  for (const [name, parameter] of own) {
    const source = offered.get(name);
    if (!source || !(parameter instanceof Parameter) || done.has(parameter)) continue;
    done.add(parameter);
    const own = dtypeFor(source, format);
    const value = fromArray(elementsAs(own, source, name), parameter.shape, own, "cpu");
    const moved = await to(value, device);
    parameter.assign(moved);
    moved.dispose();
    value.dispose();
  }
  freeFiles(stored);
}

/** Give the files' bytes back now, where the engine can: they are as large as the model, and the collector takes its time. */
function freeFiles(stored: ReadonlyMap<string, SafetensorsTensor>): void {
  const { transfer } = ArrayBuffer.prototype as { transfer?: (length: number) => unknown };
  for (const buffer of new Set([...stored.values()].map(({ data }) => data.buffer))) transfer?.call(buffer, 0);
}

function warnUnquantized(offered: ReadonlyMap<string, SafetensorsTensor>, quantize: string, dir: string): void {
  const odd = [...offered].filter(([, source]) => source.shape.length > 1 && !fitsBlocks(source)).map(([name]) => name);
  if (odd.length === 0) return;
  console.warn(`the checkpoint in ${dir} holds matrices whose rows are no multiple of ${BLOCK}; they are not kept in ${quantize}: ${list(odd)}`);
}

/** As transformers: what the configuration has no place for is left out, aloud. */
function warnUnused(names: readonly string[], dir: string): void {
  console.warn(`the checkpoint in ${dir} holds tensors that the Llama in its ${CONFIG} does not have; they are not used: ${list(names)}`);
}

function list(names: readonly string[]): string {
  const more = names.length > 5 ? ` and ${names.length - 5} more` : "";
  return names.slice(0, 5).map(quote).join(", ") + more;
}

function checkDTypes(offered: ReadonlyMap<string, SafetensorsTensor>, dir: string): void {
  for (const [name, { dtype }] of offered) {
    if (FLOATS.includes(dtype)) continue;
    throw new PolargradError(
      `the checkpoint in ${dir} holds "${name}" as ${dtype}; only ${FLOATS.join(", ")} weights can be loaded`,
    );
  }
}

/** Tied weights that are stored twice must be equal. */
function checkAliases(
  own: ReadonlyMap<string, Tensor>,
  offered: ReadonlyMap<string, SafetensorsTensor>,
  dir: string,
): void {
  const first = new Map<Tensor, string>();
  for (const [name, parameter] of own) {
    const stored = offered.get(name);
    if (!stored) continue;
    const other = first.get(parameter);
    if (other === undefined) first.set(parameter, name);
    else if (!sameBytes(stored, offered.get(other))) {
      throw new PolargradError(
        `the checkpoint in ${dir} holds different values for "${other}" and "${name}", ` +
          `but its ${CONFIG} ties them (tie_word_embeddings)`,
      );
    }
  }
}

const sameBytes = (a: SafetensorsTensor, b: SafetensorsTensor | undefined): boolean =>
  a.dtype === b?.dtype && a.data.every((byte, i) => byte === b.data[i]);

/**
 * Write a model as config.json and model.safetensors, tied tensors once. A head that an adapter was merged into is no
 * longer tied, and config.json says so.
 *
 * @param plain a model of the same configuration without adapters: the names and shapes to write
 */
export async function saveLlama(
  model: Module,
  plain: Module,
  config: LlamaConfig,
  dir: string,
): Promise<void> {
  const problems = compareStateDicts(plain.stateDict(), model.stateDict());
  if (problems.missing.length + problems.unexpected.length + problems.mismatched.length > 0) {
    const advice = "a plain Llama (merge or unload its adapters before saving)";
    throw new StateDictError("the model", advice, problems);
  }
  const { tensors, dtype } = await savedTensors(model.namedParameters());
  const [embedding, head] = ["model.embed_tokens.weight", "lm_head.weight"].map((name) => model.stateDict().get(name));
  const tieWordEmbeddings = config.tieWordEmbeddings && embedding === head;
  const json = `${JSON.stringify(llamaConfigToJson({ ...config, tieWordEmbeddings }, dtype), null, 2)}
`;
  const files = new Map<string, string | Uint8Array>([
    [CONFIG, json],
    [WEIGHTS, serializeSafetensors(tensors, { format: "pt" })],
  ]);
  await writeDirectoryFiles(dir, files);
}
