import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseSafetensors, type SafetensorsInput, serializeSafetensors } from "../../src/io/index.ts";
import { decodeFloat32 } from "../../src/io/decode.ts";
import { LlamaForCausalLM, type Module } from "../../src/nn/index.ts";
import type { HalfFormat } from "../../src/tensor/dtype.ts";
import { encode } from "../../src/tensor/stored-format.ts";
import { tinyConfig } from "./tiny-llama.ts";

/** Write the tiny Llama into `dir` with all tensors in one 16-bit format, as transformers would. */
export async function writeStored(dir: string, format: HalfFormat, overrides = {}): Promise<void> {
  await LlamaForCausalLM.fromConfig(tinyConfig(overrides), { seed: 4, device: "cpu" }).savePretrained(dir);
  const dtype = format === "f16" ? "F16" : "BF16";
  const weights = join(dir, "model.safetensors");
  const tensors = [...parseSafetensors(await readFile(weights)).tensors].map(
    ([name, tensor]): [string, SafetensorsInput] => [
      name,
      { dtype, shape: tensor.shape, data: encode(format, decodeFloat32(tensor)) },
    ],
  );
  await writeFile(weights, serializeSafetensors(tensors, { format: "pt" }));
  const json = JSON.parse(await readFile(join(dir, "config.json"), "utf8"));
  const torch = format === "f16" ? "float16" : "bfloat16";
  await writeFile(join(dir, "config.json"), `${JSON.stringify({ ...json, torch_dtype: torch }, null, 2)}\n`);
}

/** Bytes that the elements of all parameters take. */
export async function parameterBytes(model: Module): Promise<number> {
  const arrays = await Promise.all(model.parameters().map(({ storage }) => storage.read()));
  return arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** Bytes of a model's parameters in f32, and with the matrices in 16 bits. */
export function expectedBytes(model: Module): { f32: number; stored: number } {
  const parameters = model.parameters();
  const count = (rank: number): number =>
    parameters.filter((p) => Math.min(p.rank, 2) === rank).reduce((sum, { size }) => sum + size, 0);
  return { f32: 4 * (count(1) + count(2)), stored: 4 * count(1) + 2 * count(2) };
}
