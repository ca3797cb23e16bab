import { readCheckpoint, decodeFloat32, type SafetensorsTensor } from "../io/index.ts";
import { tensor } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The weights of a model's checkpoint, one at a time. */
export class WeightReader {
  readonly #tensors: ReadonlyMap<string, SafetensorsTensor>;

  private constructor(tensors: ReadonlyMap<string, SafetensorsTensor>) {
    this.#tensors = tensors;
  }

  /** Read the headers of a checkpoint. @throws CheckpointError, SafetensorsError, FileError */
  static async open(dir: string): Promise<WeightReader> {
    return new WeightReader((await readCheckpoint(dir)).tensors);
  }

  /** Names, shapes and stored dtypes, in the checkpoint's order. */
  get entries(): [string, SafetensorsTensor][] {
    return [...this.#tensors];
  }

  /** A weight in f32 on the CPU; null where there is none. A tied head is the embedding. */
  read(name: string): Tensor | null {
    const tied = name === "lm_head.weight" ? this.#tensors.get("model.embed_tokens.weight") : undefined;
    const found = this.#tensors.get(name) ?? tied;
    return found ? tensor(decodeFloat32(found), { shape: found.shape, device: "cpu" }) : null;
  }
}
