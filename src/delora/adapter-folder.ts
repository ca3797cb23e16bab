import { decodeFloat32, type SafetensorsTensor } from "../io/index.ts";
import { noGrad, tensor, tidy, zeros } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { readAdapterTensors, type StoredTensors } from "./adapter-files.ts";
import type { AdapterLayer } from "./adapter-layer.ts";
import { PREFIX } from "./adapter-tensors.ts";
import type { WarningHandler } from "./config-json.ts";
import { AdapterFileError } from "./errors.ts";
import { readPeftConfig } from "./load-config.ts";
import type { PeftConfig } from "./peft-config.ts";

/** An adapter's files, read without the model that it is for. */
export interface AdapterFolder {
  readonly config: PeftConfig;
  /** Paths of the adapted modules in the model, in the file's order. */
  readonly paths: readonly string[];
  /** Tensors of the file that are no adapter's, by their names in it: biases, copies of modules, embeddings. */
  readonly others: StoredTensors;
  /**
   * The adapter's layer for the module at a path, on the CPU, with the file's values. The caller disposes of its state.
   *
   * @param weight the base's weight [out, in]; null where it is not here
   * @throws AdapterFileError when the file does not hold what the config says
   */
  layer(path: string, weight: Tensor | null): AdapterLayer;
}

/** Read an adapter's files. @throws AdapterFileError, AdapterConfigError, SafetensorsError, FileError */
export async function readAdapterFolder(dir: string, warn?: WarningHandler): Promise<AdapterFolder> {
  const config = await readPeftConfig(dir, warn);
  const stored = await readAdapterTensors(dir);
  const marker = `.${config.schema.prefix}`;
  const paths = new Set<string>();
  const others = new Map<string, SafetensorsTensor>();
  for (const [key, found] of stored) {
    const end = key.lastIndexOf(marker);
    if (key.startsWith(PREFIX) && end > 0) paths.add(key.slice(PREFIX.length, end));
    else others.set(key, found);
  }
  const layer = (path: string, weight: Tensor | null): AdapterLayer => loadLayer(dir, config, stored, path, weight);
  return { config, paths: [...paths], others, layer };
}

function loadLayer(
  dir: string,
  config: PeftConfig,
  stored: StoredTensors,
  path: string,
  weight: Tensor | null,
): AdapterLayer {
  const layer = tidy(() => noGrad(() => config.createLayer(weight ?? placeholder(dir, config, stored, path), path)));
  const values = new Map<string, Tensor>();
  for (const [stateName, own] of layer.stateDict()) {
    const key = `${PREFIX}${path}.${layer.fileName(stateName)}`;
    const found = stored.get(key);
    if (!found) throw new AdapterFileError("missing-tensor", dir, `the adapter in ${dir} lacks the tensor ${key}`, [key]);
    if (found.shape.join() !== own.shape.join()) {
      const why = `the adapter in ${dir} holds ${key} as [${found.shape}], where its config${weight ? " and base" : ""} ask for [${own.shape}]`;
      throw new AdapterFileError("size-mismatch", dir, why, [key]);
    }
    values.set(stateName, tensor(decodeFloat32(found), { shape: found.shape, device: "cpu" }));
  }
  layer.loadStateDict(values);
  for (const value of values.values()) value.dispose();
  return layer;
}

/** Zeros of the shape that the adapter's matrices are for. */
function placeholder(dir: string, config: PeftConfig, stored: StoredTensors, path: string): Tensor {
  const shapeOf = (name: string): readonly number[] | undefined => {
    const key = `${PREFIX}${path}.${config.schema.prefix}${name}`;
    return (stored.get(key) ?? stored.get(`${key}.weight`))?.shape;
  };
  const [a, b] = [shapeOf("A"), shapeOf("B")];
  if (a?.length === 2 && b?.length === 2) return zeros([b[0], a[1]], { device: "cpu" });
  const why = `the adapter in ${dir} does not tell the shape of ${path}; name the base model`;
  throw new AdapterFileError("missing-tensor", dir, why);
}
