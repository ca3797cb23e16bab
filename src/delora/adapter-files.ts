import {
  decodeFloat32,
  decodeFloat64,
  exists,
  joinPath,
  readSafetensors,
  type SafetensorsInput,
  type SafetensorsTensor,
  serializeSafetensors,
} from "../io/index.ts";
import { savedTensor } from "../nn/llama-weights.ts";
import type { Module } from "../nn/module.ts";
import { tensor } from "../ops/index.ts";
import { sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { FilePlace } from "./adapter-tensors.ts";
import type { WarningHandler } from "./config-json.ts";
import { AdapterFileError } from "./errors.ts";

/** PEFT's name of the file with an adapter's tensors. */
export const WEIGHTS_FILE = "adapter_model.safetensors";

const PICKLE_FILE = "adapter_model.bin";
const FLOATS = ["F32", "F16", "BF16", "F64"];

/** Tensors by their names in a file. */
export type StoredTensors = ReadonlyMap<string, SafetensorsTensor>;

/** What was not where it could have been, when an adapter was loaded. */
export interface AdapterLoadReport {
  /** Names in the model of the adapter's tensors that the file lacks: they keep their first values. */
  readonly missingKeys: readonly string[];
  /** Names in the file that nothing has a place for: they were passed over. */
  readonly unexpectedKeys: readonly string[];
}

/** How tensors of a file are taken over. */
export interface LoadTensorsOptions {
  /** Where the file is, for errors. */
  readonly dir: string;
  /** PEFT's class of the model, for errors. */
  readonly className: string;
  /** Pass over tensors of another shape, with a warning, instead of refusing them. */
  readonly ignoreMismatchedSizes: boolean;
  readonly warn: WarningHandler;
}

/**
 * The tensors in a directory's `adapter_model.safetensors`.
 *
 * @throws AdapterFileError, SafetensorsError, FileError
 */
export async function readAdapterTensors(dir: string): Promise<StoredTensors> {
  const path = joinPath(dir, WEIGHTS_FILE);
  if (await exists(path)) return (await readSafetensors(path)).tensors;
  if (await exists(joinPath(dir, PICKLE_FILE))) {
    const advice = "in PEFT, load the adapter and save it with save_pretrained(dir, safe_serialization=True)";
    const why = `${joinPath(dir, PICKLE_FILE)}: pickle files can run code and are never read; ${advice}`;
    throw new AdapterFileError("pickle", dir, why);
  }
  throw new AdapterFileError(
    "missing-weights",
    dir,
    `Can't find '${WEIGHTS_FILE}' at '${dir}': the adapter has settings but no weights`,
  );
}

/**
 * Give tensors their places. All names, shapes and dtypes are checked before the first is taken over.
 *
 * @throws AdapterFileError when a stored tensor has another shape than its place or is not of floats
 */
export function loadTensors(
  places: readonly FilePlace[],
  stored: StoredTensors,
  options: LoadTensorsOptions,
): AdapterLoadReport {
  const mismatched = refuseMisfits(places, stored, options);
  const isLoaded = ({ key }: FilePlace): boolean => stored.has(key) && !mismatched.has(key);
  const loads = new Map<Module, FilePlace[]>();
  for (const place of places.filter(isLoaded)) {
    const others = loads.get(place.module) ?? [];
    loads.set(place.module, [...others, place]);
  }
  for (const [module, wanted] of loads) loadInto(module, wanted, stored);
  const known = new Set(places.map(({ key }) => key));
  return {
    missingKeys: places.filter((place) => place.isAdapters && !isLoaded(place)).map(({ name }) => name),
    unexpectedKeys: [...stored.keys()].filter((key) => !known.has(key)),
  };
}

/** The bytes of PEFT's `adapter_model.safetensors`. */
export async function serializeAdapter(tensors: ReadonlyMap<string, Tensor>): Promise<Uint8Array> {
  const stored = await Promise.all(
    [...tensors].map(async ([name, tensor]) => [name, await toStored(tensor)] as const),
  );
  return serializeSafetensors(stored, { format: "pt" });
}

/** Keys of the file whose shape is another, with a warning; a refusal unless such are to be passed over. */
function refuseMisfits(
  places: readonly FilePlace[],
  stored: StoredTensors,
  { dir, className, ignoreMismatchedSizes, warn }: LoadTensorsOptions,
): ReadonlySet<string> {
  const misfits = places.flatMap(({ key, name, module, stateName }) => {
    const expected = module.stateDict().get(stateName)?.shape ?? [];
    const found = stored.get(key)?.shape;
    return found && !sameShape(found, expected) ? [{ key, name, found, expected }] : [];
  });
  if (misfits.length > 0 && !ignoreMismatchedSizes) {
    const [{ name, found, expected }, ...rest] = misfits;
    const what =
      `size mismatch for ${name}: copying a param with shape ${torchSize(found)} from checkpoint, ` +
      `the shape in current model is ${torchSize(expected)}.`;
    const others = rest.length > 0 ? ` ${rest.length} more tensors do not fit either.` : "";
    const why = `Error(s) in loading state_dict for ${className}: ${what}${others}`;
    throw new AdapterFileError(
      "size-mismatch",
      dir,
      why,
      misfits.map((misfit) => misfit.name),
    );
  }
  refuseIntegers(places, stored, dir);
  if (misfits.length > 0) {
    const lines = misfits.map(
      ({ name, found, expected }) =>
        `- ${name}: found shape ${torchSize(found)} in the checkpoint and ${torchSize(expected)} in the model instantiated`,
    );
    const because = "and are being ignored because you passed `ignore_mismatched_sizes=True`";
    warn(`Some weights of ${className} were not initialized from the model checkpoint ${because}: ${lines.join("\n")}.`);
  }
  return new Set(misfits.map(({ key }) => key));
}

function refuseIntegers(places: readonly FilePlace[], stored: StoredTensors, dir: string): void {
  for (const { key } of places) {
    const dtype = stored.get(key)?.dtype ?? "F32";
    if (FLOATS.includes(dtype)) continue;
    const why = `the adapter in ${dir} holds "${key}" as ${dtype}; only ${FLOATS.join(", ")} can be loaded`;
    throw new AdapterFileError("not-floats", dir, why, [key]);
  }
}

function loadInto(module: Module, places: readonly FilePlace[], stored: StoredTensors): void {
  const own = module.stateDict();
  const values = new Map<string, Tensor>();
  for (const { key, stateName } of places) {
    const found = stored.get(key);
    if (!found) continue;
    const data = own.get(stateName)?.dtype === "f64" ? decodeFloat64(found) : decodeFloat32(found);
    values.set(stateName, tensor(data, { shape: found.shape, device: "cpu" }));
  }
  module.loadStateDict(values, { strict: false });
  for (const value of values.values()) value.dispose();
}

async function toStored(tensor: Tensor): Promise<SafetensorsInput> {
  if (tensor.dtype === "f64") return { dtype: "F64", shape: tensor.shape, data: await tensor.data() };
  return savedTensor(tensor);
}

const torchSize = (shape: readonly number[]): string => `torch.Size([${shape.join(", ")}])`;
