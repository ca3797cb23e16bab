import {
  decodeFloat32,
  decodeFloat64,
  exists,
  joinPath,
  readSafetensors,
  type SafetensorsInput,
  type SafetensorsTensor,
  serializeSafetensors,
  writeDirectoryFiles,
} from "../io/index.ts";
import { tensor } from "../ops/index.ts";
import { sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { withAdapterName } from "./adapted-linear.ts";
import { CONFIG_FILE } from "./config-json.ts";
import { AdapterFileError } from "./errors.ts";
import type { PlannedLayer } from "./inject.ts";
import type { PeftConfig } from "./peft-config.ts";

/** What PEFT puts before a tensor's path in the model. */
export const PREFIX = "base_model.model.";

const WEIGHTS_FILE = "adapter_model.safetensors";
const PICKLE_FILE = "adapter_model.bin";
const FLOATS = ["F32", "F16", "BF16", "F64"];

/**
 * The tensors in a directory's `adapter_model.safetensors`.
 *
 * @throws AdapterFileError, SafetensorsError, FileError
 */
export async function readAdapterTensors(dir: string): Promise<ReadonlyMap<string, SafetensorsTensor>> {
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
 * Give planned layers their values. Stored tensors of other names are passed over, stored column norms win
 * over those of the base.
 *
 * @param name the adapter's name, for error and report
 * @returns names, as in the model, of the tensors that are not stored: they keep their first values
 * @throws AdapterFileError when a stored tensor has another shape or is not of floats; then no layer was
 * changed
 */
export function loadLayers(
  plan: readonly PlannedLayer[],
  stored: ReadonlyMap<string, SafetensorsTensor>,
  { dir, name, taskType }: { readonly dir: string; readonly name: string; readonly taskType: string | null },
): string[] {
  const missing: string[] = [];
  const mismatched: { tensor: string; why: string }[] = [];
  for (const { path, layer } of plan) {
    for (const [key, { shape }] of layer.stateDict()) {
      const found = stored.get(`${PREFIX}${path}.${key}`)?.shape;
      const tensor = `${PREFIX}${path}.${withAdapterName(key, name)}`;
      if (!found) missing.push(tensor);
      else if (!sameShape(found, shape)) mismatched.push({ tensor, why: sizeMismatch(tensor, found, shape) });
    }
  }
  if (mismatched.length > 0) {
    const others = mismatched.length > 1 ? ` ${mismatched.length - 1} more tensors do not fit either.` : "";
    const className = taskType === "CAUSAL_LM" ? "PeftModelForCausalLM" : "PeftModel";
    const why = `Error(s) in loading state_dict for ${className}: ${mismatched[0].why}${others}`;
    throw new AdapterFileError(
      "size-mismatch",
      dir,
      why,
      mismatched.map(({ tensor }) => tensor),
    );
  }
  refuseIntegers(plan, stored, dir);
  for (const { path, layer } of plan) loadLayer(layer, `${PREFIX}${path}.`, stored);
  return missing;
}

/** Write `adapter_config.json` and `adapter_model.safetensors`, both or neither. */
export async function writeAdapter(
  dir: string,
  config: PeftConfig,
  tensors: ReadonlyMap<string, Tensor>,
): Promise<void> {
  const weights = await Promise.all(
    [...tensors].map(async ([name, tensor]) => [name, await toStored(tensor)] as const),
  );
  const files = new Map<string, string | Uint8Array>([
    [WEIGHTS_FILE, serializeSafetensors(weights, { format: "pt" })],
    [CONFIG_FILE, config.toJson()],
  ]);
  await writeDirectoryFiles(dir, files);
}

function refuseIntegers(
  plan: readonly PlannedLayer[],
  stored: ReadonlyMap<string, SafetensorsTensor>,
  dir: string,
): void {
  for (const { path, layer } of plan) {
    for (const [key] of layer.stateDict()) {
      const name = `${PREFIX}${path}.${key}`;
      const dtype = stored.get(name)?.dtype ?? "F32";
      if (FLOATS.includes(dtype)) continue;
      const why = `the adapter in ${dir} holds "${name}" as ${dtype}; only ${FLOATS.join(", ")} can be loaded`;
      throw new AdapterFileError("not-floats", dir, why, [name]);
    }
  }
}

function loadLayer(
  layer: PlannedLayer["layer"],
  prefix: string,
  stored: ReadonlyMap<string, SafetensorsTensor>,
): void {
  const values = new Map<string, Tensor>();
  for (const [key, { dtype }] of layer.stateDict()) {
    const found = stored.get(prefix + key);
    if (!found) continue;
    const data = dtype === "f64" ? decodeFloat64(found) : decodeFloat32(found);
    values.set(key, tensor(data, { shape: found.shape, device: "cpu" }));
  }
  layer.loadStateDict(values, { strict: false });
  for (const value of values.values()) value.dispose();
}

async function toStored(tensor: Tensor): Promise<SafetensorsInput> {
  return { dtype: tensor.dtype === "f64" ? "F64" : "F32", shape: tensor.shape, data: await tensor.data() };
}

const sizeMismatch = (tensor: string, found: readonly number[], expected: readonly number[]): string =>
  `size mismatch for ${tensor}: copying a param with shape ${torchSize(found)} from checkpoint, ` +
  `the shape in current model is ${torchSize(expected)}.`;

const torchSize = (shape: readonly number[]): string => `torch.Size([${shape.join(", ")}])`;
