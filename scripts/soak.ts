/**
 * Trains an adapter for very many steps, every other one captured, and watches what must not grow: live storages, the heap, GPU
 * buffers and the memory of the process. Ends with code 1 where one does.
 *
 * usage: node scripts/soak.ts [cpu|webgpu] [steps]     default: cpu, 10000
 */
import { DeloraConfig, getPeftModel } from "../src/delora/index.ts";
import { parseLlamaConfig } from "../src/io/index.ts";
import { LlamaForCausalLM, type Rows } from "../src/nn/index.ts";
import { capture, currentGpu, init, manualSeed, noGrad, tensor, tidy } from "../src/ops/index.ts";
import { liveCpuStorages } from "../src/tensor/cpu-storage.ts";
import { heapExtent } from "../src/tensor/heap.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { AdamW, clipGradients } from "../src/train/index.ts";

const [device = "cpu", steps = "10000"] = process.argv.slice(2);
const total = Number(steps);
/** What the process may grow by in its second half: the collector decides when it gives memory back. */
const SLACK = 1.05;

interface Reading {
  readonly storages: number;
  readonly heap: number;
  readonly buffers: number;
  readonly megabytes: number;
}

function read(): Reading {
  const gpu = currentGpu();
  return {
    storages: liveCpuStorages(),
    heap: heapExtent(),
    buffers: gpu ? gpu.pool.counts.live : 0,
    megabytes: Math.round(process.memoryUsage().rss / 2 ** 20),
  };
}

await init({ device: device === "webgpu" ? "webgpu" : "cpu" });
manualSeed(1);
const config = parseLlamaConfig({
  model_type: "llama",
  architectures: ["LlamaForCausalLM"],
  vocab_size: 64,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
});
const peft = getPeftModel(LlamaForCausalLM.fromConfig(config, { seed: 1 }), new DeloraConfig({ r: 4, moduleDropout: 0.1 }));
const parameters = peft.parameters().filter(({ requiresGrad }) => requiresGrad);
const optimizer = new AdamW(parameters, { lr: 1e-3, weightDecay: 0 });
const rows = Array.from({ length: 4 }, (_, i) => Array.from({ length: 24 }, (_, j) => (7 * i + 3 * j * j) % 64));

const batch = tensor(rows, { dtype: "i32" });

function stepOn(inputIds: Rows): Tensor {
  const { loss } = peft.train().forward({ inputIds, labels: inputIds });
  if (!loss) throw new Error("no loss although labels were given");
  loss.backward();
  clipGradients(parameters, 1)?.dispose();
  optimizer.step();
  optimizer.zeroGrad();
  return loss;
}

const captured = capture((inputIds: Tensor) => [stepOn(inputIds)]);

const readings: Reading[] = [];
console.log("step      loss    live storages  heap bytes  GPU buffers  process MB");
for (let step = 1; step <= total; step++) {
  const [loss] = step % 2 === 0 ? captured(batch) : [tidy(() => stepOn(rows).detach())];
  const value = await loss.item();
  loss.dispose();
  if (step % Math.max(1, Math.floor(total / 10)) !== 0) continue;
  const evaluated = noGrad(() => tidy(() => peft.eval().forward({ inputIds: rows, labels: rows }).loss));
  evaluated?.dispose();
  const reading = read();
  readings.push(reading);
  const { storages, heap, buffers, megabytes } = reading;
  console.log(
    [String(step).padEnd(8), value.toFixed(4).padStart(6), String(storages).padStart(14), String(heap).padStart(11), String(buffers).padStart(12), String(megabytes).padStart(11)].join(" "),
  );
}
// In the first half code is still being optimised and the collector settles.
const [first, ...later] = readings.slice(Math.floor(readings.length / 2) - 1);
const grown = later.some(
  ({ storages, heap, buffers, megabytes }) =>
    storages > first.storages || heap > first.heap || buffers > first.buffers || megabytes > SLACK * first.megabytes,
);
console.log(grown ? "FAILED: something grew" : "nothing grew");
process.exit(grown ? 1 : 0);
